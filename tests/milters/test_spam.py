"""What a verdict does to the header."""

from email.header import decode_header, make_header

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from milters import spam
from milters.spam import Edit, Field, Report

TAG = "***SPAM*** "
SPAM = Report(is_spam=True, score=12.34, threshold=5.0, tests=("GTUBE", "MISSING_DATE"))
HAM = Report(is_spam=False, score=-0.1, threshold=5.0)


def subject(value: bytes) -> list[Field]:
    return [Field("Subject", value)]


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
    assert spam.tagged(subject(value), TAG) == [Edit("Subject", 1, TAG + value.decode())]


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
    assert spam.tagged(subject(value), TAG) == []


def test_a_missing_subject_is_added() -> None:
    assert spam.tagged([Field("From", b"a@b")], TAG) == [Edit("Subject", 0, "***SPAM***")]


def test_of_several_subjects_the_first_is_tagged() -> None:
    fields = [Field("SUBJECT", b"one"), Field("subject", b"two")]
    assert spam.tagged(fields, TAG) == [Edit("Subject", 1, "***SPAM*** one")]


def readable(fields: list[Field]) -> str:
    """Return the new subject as a mail program shows it."""
    [edit] = spam.tagged(fields, TAG)
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
        (b"=?utf-8?B?SGVsbG8=?=\n caf\xe9\n =?utf-8?Q?w=C3=B6rld?=", "Hello café wörld"),
    ],
)
def test_a_raw_8_bit_subject_survives_readably(value: bytes, text: str) -> None:
    assert readable(subject(value)) == text


def test_what_is_no_8_bit_word_stays_as_it_is() -> None:
    [edit] = spam.tagged(subject(b"Re:  =?utf-8?Q?w=C3=B6rld?= and caf\xe9  at 5"), TAG)
    assert edit.value is not None
    assert edit.value.startswith(f"{TAG}Re:  =?utf-8?Q?w=C3=B6rld?= and =?utf-8?")
    assert edit.value.endswith("?=  at 5")


@pytest.mark.parametrize("charset", ["gbk", "gb18030", "big5", "koi8-r", "shift_jis"])
def test_a_raw_subject_is_read_in_the_charset_of_the_message(charset: str) -> None:
    text = "привет от деканата" if charset == "koi8-r" else "中文 主題 re"
    kind = Field("Content-Type", f'text/plain; Charset="{charset}"; format=flowed'.encode())
    assert readable([kind, *subject(text.encode(charset))]) == text


@pytest.mark.parametrize("charset", [b"utf-8", b"us-ascii", b"nonsense", b"punycode", b"utf-16"])
def test_a_charset_that_does_not_fit_is_not_believed(charset: bytes) -> None:
    kind = Field("Content-Type", b"text/plain; charset=" + charset)
    assert readable([kind, *subject(b"caf\xe9 x")]) == "café x"


@given(st.binary(max_size=300))
@example(b"=?=\xff ?B?\xfe=?= =??Q??=")
def test_no_subject_whatever_raises_or_cannot_be_carried(value: bytes) -> None:
    for edit in spam.tagged(subject(value), TAG):
        assert edit.value is not None
        edit.value.encode()  # what pymilter does; a surrogate would raise there
        assert edit.value.startswith(TAG)


def test_forged_verdicts_are_removed_from_the_last_to_the_first() -> None:
    fields = [
        Field("X-Spam-Flag", b"NO"),
        Field("Subject", b"x"),
        Field("x-spam-flag", b"NO"),
        Field("X-SPAM-Anything", b"y"),
        Field("X-Spammer", b"stays"),
    ]
    assert spam.removals(fields) == [
        Edit("X-SPAM-Anything", 1, None),
        Edit("x-spam-flag", 2, None),
        Edit("X-Spam-Flag", 1, None),
    ]


def test_spam_gets_flag_score_and_status() -> None:
    assert spam.verdict(SPAM) == [
        Edit("X-Spam-Flag", 0, "YES"),
        Edit("X-Spam-Score", 0, "12.3"),
        Edit("X-Spam-Status", 0, "Yes, score=12.3 required=5.0 tests=GTUBE, MISSING_DATE"),
    ]


def test_ham_gets_no_flag() -> None:
    assert spam.verdict(HAM) == [
        Edit("X-Spam-Score", 0, "-0.1"),
        Edit("X-Spam-Status", 0, "No, score=-0.1 required=5.0 tests=none"),
    ]


def test_a_long_status_is_folded_and_cut() -> None:
    report = Report(
        is_spam=True, score=99, threshold=5, tests=tuple(f"RULE_{n}" for n in range(200))
    )
    status = spam.verdict(report)[2].value
    assert status is not None
    assert len(status) < 1200
    assert all(len(line) < 80 for line in status.split("\n"))
    assert all(line.startswith("\t") for line in status.split("\n")[1:])


def test_a_mail_without_verdict_says_so() -> None:
    assert spam.unscanned("spamd timeout") == [Edit("X-Spam-Status", 0, "Unknown, spamd timeout")]
