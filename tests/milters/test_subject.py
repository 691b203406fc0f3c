"""The tag before a subject, whatever bytes the subject is made of."""

import time
from email.header import decode_header, make_header

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from milters import subject
from milters.spam import Edit

TAG = "***SPAM*** "


@pytest.mark.parametrize(
    "value",
    [
        b"hello",
        b"",
        b"=?utf-8?B?SGVsbG8=?= =?iso-8859-1?Q?w=F6rld?=",
        b"folded\n over lines",
        "grüße".encode(),
        b"Re: ***SPAM*** offer",
        b"=?broken",
    ],
)
def test_the_tag_goes_before_the_untouched_subject(value: bytes) -> None:
    assert subject.tagged([value], TAG) == [Edit("Subject", 1, TAG + value.decode())]


@pytest.mark.parametrize(
    "value",
    [
        b"***SPAM*** hello",
        b"***SPAM***",
        b"***Spam***hello",
        b"  ***SPAM***  hello",
        b"=?utf-8?B?KioqU1BBTSoqKiBoaQ==?=",
        b"=?utf-8?Q?***SP?= =?utf-8?Q?AM***_hi?=",
        b"***=?us-ascii?Q?SPAM?=*** hi",
        b"=?utf-16?B?//4qACoAKgBTAFAAQQBNACoAKgAqAA==?=",
        # A word that is broken hides no other.
        b"=?utf-8?B?KioqU1BBTSoqKiBoaQ==?= =?utf-8?B?A?=",
        # Mail programs show the bytes of a charset that they do not know.
        b"=?punycode?Q?***SPAM***?= x",
        b"=?x-unknown?Q?***SPAM***?= x",
    ],
)
def test_a_tagged_subject_is_not_tagged_again(value: bytes) -> None:
    assert subject.tagged([value], TAG) == []


def test_a_missing_subject_is_added() -> None:
    assert subject.tagged([], TAG) == [Edit("Subject", 0, "***SPAM***")]


def test_every_subject_is_tagged_whichever_a_mail_program_shows() -> None:
    values = [b"one", b"***SPAM*** two", b"three"]
    assert subject.tagged(values, TAG) == [
        Edit("Subject", 1, "***SPAM*** one"),
        Edit("Subject", 3, "***SPAM*** three"),
    ]


def readable(value: bytes, kind: bytes = b"") -> str:
    """Return the new subject as a mail program shows it."""
    [edit] = subject.tagged([value], TAG, subject.charset_of(kind))
    assert edit.value is not None
    assert edit.value.isascii()
    assert edit.value.startswith(TAG)
    return str(make_header(decode_header(edit.value))).removeprefix(TAG)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"caf\xe9", "café"),
        (b"price: \x80 5", "price: € 5"),
        (b"odd \x81", "odd \x81"),
        (b"caf\xe9 cr\xe8me at 5", "café crème at 5"),
        (b"=?utf-8?B?SGVsbG8=?= caf\xe9", "Hello café"),
        (b"caf\xe9 =?utf-8?B?SGVsbG8=?= x", "café Hello x"),
        (b"caf\xe9=?utf-8?B?SGVsbG8=?=", "caféHello"),
        (b"=?utf-8?B?SGVsbG8=?=caf\xe9 x", "Hellocafé x"),
        (b"=?utf-8?B?SGVsbG8=?=\n caf\xe9\n =?utf-8?Q?w=C3=B6rld?=", "Hello café wörld"),
    ],
)
def test_a_raw_8_bit_subject_survives_readably(value: bytes, text: str) -> None:
    assert readable(value) == text


def test_text_without_8_bit_words_stays_unchanged() -> None:
    [edit] = subject.tagged([b"Re:  =?utf-8?Q?w=C3=B6rld?= and caf\xe9  at 5"], TAG)
    assert edit.value is not None
    assert edit.value.startswith(f"{TAG}Re:  =?utf-8?Q?w=C3=B6rld?= and =?utf-8?")
    assert edit.value.endswith("?=  at 5")


@pytest.mark.parametrize("charset", ["gbk", "gb18030", "big5", "koi8-r", "shift_jis"])
def test_a_raw_subject_is_read_in_the_charset_of_the_message(charset: str) -> None:
    text = "привет от деканата" if charset == "koi8-r" else "中文 主題 re"
    kind = f'text/plain; Charset="{charset}"; format=flowed'.encode()
    assert readable(text.encode(charset), kind) == text


@pytest.mark.parametrize("charset", [b"utf-8", b"us-ascii", b"nonsense", b"punycode", b"utf-16"])
def test_a_charset_that_does_not_fit_is_not_believed(charset: bytes) -> None:
    assert readable(b"caf\xe9 x", b"text/plain; charset=" + charset) == "café x"


@given(st.binary(max_size=300))
@example(b"=?=\xff ?B?\xfe=?= =??Q??=")
def test_every_subject_can_be_tagged_and_carried(value: bytes) -> None:
    for edit in subject.tagged([value], TAG):
        assert edit.value is not None
        edit.value.encode()  # what pymilter does; a surrogate would raise there
        assert edit.value.startswith(TAG)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (b"=?iso-8859-1?Q?Die_Fr\xf6sche?=", "=?iso-8859-1?Q?Die_Fr=F6sche?="),
        (b"=?ISO-8859-1?q?Die_Fr\xf6sche?=", "=?ISO-8859-1?q?Die_Fr=F6sche?="),
        (b"Re: =?koi8-r?Q?\xd0\xd2?= x", "Re: =?koi8-r?Q?=D0=D2?= x"),
        (b"=?iso-8859-1?B?RGll\xf6IEZy?=", "=?iso-8859-1?B?RGllIEZy?="),
        (b"=?a?Q?\xf6?= =?b?Q?\xe9x?=", "=?a?Q?=F6?= =?b?Q?=E9x?="),
    ],
)
def test_a_raw_byte_inside_an_encoded_word_leaves_the_word_readable(
    value: bytes, word: str
) -> None:
    assert subject.tagged([value], TAG) == [Edit("Subject", 1, f"{TAG}{word}")]


@pytest.mark.parametrize("byte", range(0x80, 0x100))
def test_any_raw_byte_in_an_encoded_word_reads_as_before(byte: int) -> None:
    value = b"=?iso-8859-1?Q?Fr" + bytes([byte]) + b"sche?="
    assert readable(value) == f"Fr{chr(byte)}sche"


LONG = b"x" * 40 + b" "


def lines(value: bytes, tag: str = TAG) -> list[bytes]:
    """Return the lines of the tagged field."""
    [edit] = subject.tagged([value], tag)
    return f"Subject: {edit.value}".encode().split(b"\n")


@pytest.mark.parametrize("size", range(975, 990))
@pytest.mark.parametrize("tag", [TAG, "[SPAM]"])
@pytest.mark.parametrize("fill", [b"x", LONG, "ü".encode()])
def test_a_tag_makes_no_line_longer_than_998(size: int, tag: str, fill: bytes) -> None:
    value = (fill * size)[:size].decode("utf-8", "ignore").encode()
    found = lines(value, tag)
    assert max(map(len, found)) <= 998
    assert b"".join(found).endswith(value)
    assert all(line.startswith(b" ") for line in found[1:])


@pytest.mark.parametrize("value", [LONG * 23 + b"caf\xe9", LONG + b"\n " + LONG * 23 + b"\xe9 y"])
def test_encoding_makes_no_line_longer_than_998(value: bytes) -> None:
    found = lines(value)
    assert max(map(len, found)) <= 998
    assert all(line.strip() for line in found)


def test_a_line_that_was_too_long_stays_as_it_came() -> None:
    assert lines(b"y" * 1100 + b"\n z" + b"y" * 1200) == [
        b"Subject: ***SPAM***",
        b" " + b"y" * 1100,
        b" z" + b"y" * 1200,
    ]


def test_the_longest_possible_subject_costs_no_time() -> None:
    for value in (
        b"\xe9 a " * 25_000,
        b"\xff " + b"a" * 102_400,
        b"\xff" + b"=?a?Q?" * 17_000,
        b"\xff =" * 25_000,
    ):
        start = time.process_time()
        subject.tagged([value], TAG)
        assert time.process_time() - start < 1
