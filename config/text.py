"""Decoding files and standard input. Pure.

UTF-8, with or without a byte order mark, and UTF-16 with one (Excel's "Unicode text").
Bytes that are not UTF-8 become lone surrogates, so that a reader can reject their line with
`check` and continue with the others.
"""

import codecs
import io

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MARK = "\ufeff"
# The bytes do not reveal their encoding: most of Big5 is valid Latin-1.
CURE = (
    "convert it to UTF-8 first, such as: iconv -f BIG5 -t UTF-8 OLD > NEW"
    " (from western Europe: -f WINDOWS-1252)"
)


class NotText(ValueError):  # noqa: N818 - says what the bytes are
    """The bytes cannot be read as text; the message says where and what to do."""


def decode(raw: bytes) -> str:
    """Return *raw* without its byte order mark; raise `NotText` if it is not text."""
    if raw.startswith(_UTF_16):
        try:
            text = raw.decode("utf-16")
        except UnicodeDecodeError as error:
            raise NotText(f"byte {error.start + 1} breaks off a UTF-16 character") from None
    else:
        text = raw.decode("utf-8", "surrogateescape")
    if "\0" in text:
        raise NotText("not UTF-8 but UTF-16 without a mark, or no text: iconv -f UTF-16LE -t UTF-8")
    return text.lstrip(_MARK)


def lines(text: str) -> list[str]:
    """Return the lines of *text* with their ends: LF, CRLF or CR."""
    return list(io.StringIO(text, newline=""))


def check(line: str, *, number: int = 1) -> None:
    """Raise `NotText` if *line*, the *number*-th one, holds bytes that were not UTF-8."""
    if line.isascii():
        return
    try:
        line.encode()
    except UnicodeEncodeError as error:
        at = len(line[: error.start].encode()) + 1
        byte = ord(line[error.start]) & 0xFF
        raise NotText(f"not UTF-8: line {number}, byte {at} is 0x{byte:02X}; {CURE}") from None
