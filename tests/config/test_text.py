"""Decoding files and standard input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import text


@pytest.mark.parametrize(
    "raw",
    ["名,é\n".encode(), b"\xef\xbb\xbf" + "名,é\n".encode(), "名,é\n".encode("utf-16"),
     b"\xfe\xff" + "名,é\n".encode("utf-16-be")],
)  # fmt: skip
def test_utf8_and_utf16_are_read_without_their_mark(raw: bytes) -> None:
    assert text.decode(raw) == "名,é\n"


@pytest.mark.parametrize("encoding", ["latin-1", "big5", "shift_jis", "gb18030", "cp1251"])
def test_another_encoding_is_named_by_line_and_byte_with_the_cure(encoding: str) -> None:
    word = {"latin-1": "é", "cp1251": "Ж"}.get(encoding, "中")
    lines = text.lines(text.decode(f"ok\nab{word}\n".encode(encoding)))
    text.check(lines[0], number=1)
    with pytest.raises(text.NotText, match=r"line 2, byte 3 is 0x.*iconv -f BIG5 -t UTF-8"):
        text.check(lines[1], number=2)


@pytest.mark.parametrize("raw", ["a,b\n".encode("utf-16-le"), b"a\0b", b"\xff\xfea\0b"])
def test_bytes_that_are_not_text_are_rejected_as_a_whole(raw: bytes) -> None:
    with pytest.raises(text.NotText):
        text.decode(raw)


@given(st.binary(max_size=60))
def test_any_bytes_are_text_or_rejected(raw: bytes) -> None:
    try:
        decoded = text.decode(raw)
        for line in text.lines(decoded):
            text.check(line)
    except text.NotText:
        return
    assert decoded.encode() or not raw.strip(b"\xef\xbb\xbf\xfe\xff")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_each_system_ends_them(end: str) -> None:
    assert text.lines(f"a{end}b") == [f"a{end}", "b"]
