"""The subject of mail judged spam gets a tag (R10). Pure: values in, edits out.

The tag goes before the subject's own bytes, which stay as they are: encoded words
are not decoded. Only what is not UTF-8 must be encoded (RFC 2047), because
libmilter's Python binding carries text.
"""

import re
from collections.abc import Iterator, Sequence
from email.errors import HeaderParseError
from email.header import Header, decode_header

from milters.spam import Edit

# Bytes decoded to find a tag inside encoded words; a subject line has 998.
MAX_DECODED = 2048
MAX_LINE = 998  # bytes, without the line end (RFC 5322 2.1.1)
_NAME = "Subject: "
_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[BbQq]\?[^?\s]*\?=")
# Encoded words, blanks, and what is between them. Inside a word may be raw bytes.
_PIECES = re.compile(rb"(=\?[!->@-~]+\?[BbQq]\?[^?\s]*\?=|\s+)")
_RAW = re.compile(rb"[\x80-\xff]")
_ASCII = b"=?a B?="
_CHARSET = re.compile(rb"charset\s*=\s*\"?([\w.:+-]+)", re.IGNORECASE)


def charset_of(content_type: bytes) -> str:
    """Return the charset that the message names; empty if it names none."""
    found = _CHARSET.search(content_type)
    return found[1].decode("ascii", "replace") if found else ""


def tagged(values: Sequence[bytes], tag: str, charset: str = "") -> list[Edit]:
    """Return the edits that put *tag* at the start of every subject that has none.

    *values* are those of all Subject fields, in order; *charset* is that of the message.
    """
    if not values:
        return [Edit("Subject", 0, tag.rstrip())]
    return [
        Edit("Subject", number, _short(tag, _as_header_text(value, charset), value))
        for number, value in enumerate(values, 1)
        if not has_tag(value, tag)
    ]


def has_tag(value: bytes, tag: str) -> bool:
    """Return whether a subject starts with *tag*, even inside encoded words."""
    wanted = _normalised(tag)
    text = value[:MAX_DECODED].decode("utf-8", "replace")
    # "punycode" is a charset to Python and to no mail program, which shows the bytes.
    readings = (text, *(_decoded(text, strange=strange) for strange in (True, False)))
    return any(_normalised(reading).startswith(wanted) for reading in readings)


def _decoded(text: str, *, strange: bool) -> str:
    """Return *text* with its encoded words decoded; those of a *strange* charset, too."""
    try:
        words = decode_header(text)
    except (HeaderParseError, ValueError):
        # A broken word hides nothing but itself.
        words = [word for each in _split(text) for word in _decoded_word(each)]
    return "".join(_plain(word, charset if strange else None) for word, charset in words)


def _split(text: str) -> list[str]:
    """Return the encoded words of *text* and what is between them."""
    bounds = [at for found in _ENCODED_WORD.finditer(text) for at in found.span()]
    return [text[a:b] for a, b in zip([0, *bounds], [*bounds, len(text)], strict=True)]


def _decoded_word(text: str) -> list[tuple[bytes | str, str | None]]:
    try:
        return list(decode_header(text))
    except (HeaderParseError, ValueError):
        return [(text, None)]


def _plain(word: bytes | str, charset: str | None) -> str:
    if isinstance(word, str):
        return word
    try:
        return word.decode(charset or "ascii", "replace")
    except (LookupError, ValueError):  # an unknown charset, or one like "idna"
        return word.decode("ascii", "replace")


def _normalised(text: str) -> str:
    """Return *text* without blanks and case, which make no different tag."""
    return "".join(text.split()).casefold()


def _as_header_text(value: bytes, charset: str) -> str:
    """Return *value* as text that libmilter's binding can carry; *charset* is the message's."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        charset = next(each for each in (charset, "cp1252", "latin-1") if _can_read(each, value))
        pieces = [_repair(piece) for piece in _PIECES.split(value) if piece]
        return b"".join(_ascii(pieces, charset)).decode("ascii")


def _can_read(charset: str, value: bytes) -> bool:
    """Return whether *value* can be text in *charset*, which must contain ASCII as it is."""
    try:
        value.decode(charset).encode("utf-8")
        return _ASCII.decode(charset) == _ASCII.decode("ascii")
    except (LookupError, ValueError):
        return False


def _ascii(pieces: Sequence[bytes], charset: str) -> Iterator[bytes]:
    """Yield *pieces* (words, blanks, other text) with their raw bytes encoded."""
    at = 0
    while at < len(pieces):
        if not _is_raw(pieces[at]):
            yield pieces[at]
            at += 1
            continue
        # Blanks between encoded words are not shown: raw text beside raw text becomes one word.
        end = at + 1
        while end + 1 < len(pieces) and pieces[end].isspace() and _is_raw(pieces[end + 1]):
            end += 2
        before, after = pieces[max(0, at - 2) : at], pieces[end : end + 2]
        yield from _encoded(before, pieces[at:end], after, charset)
        at = end


def _encoded(
    before: Sequence[bytes], run: Sequence[bytes], after: Sequence[bytes], charset: str
) -> Iterator[bytes]:
    """Yield *run* as encoded words, with blanks between it and its neighbours where needed."""
    text = b"".join(run).decode(charset, "replace")
    if _ends_in_word(before) and before[-1].isspace():
        text = f" {text}"
    if _ends_in_word(after[::-1]) and after[0].isspace():
        text = f"{text} "
    yield b" " if before and _is_word(before[-1]) else b""
    yield Header(text, "utf-8").encode(linesep="\n").encode("ascii")
    yield b" " if after and _is_word(after[0]) else b""


def _ends_in_word(pieces: Sequence[bytes]) -> bool:
    return len(pieces) > 1 and _is_word(pieces[0])


def _is_word(piece: bytes) -> bool:
    return _PIECES.fullmatch(piece) is not None and not piece.isspace()


def _is_raw(piece: bytes) -> bool:
    return not piece.isascii()


def _repair(word: bytes) -> bytes:
    """Return *word* without raw bytes, if it is an encoded word, so that it reads the same."""
    if not _is_raw(word) or not _is_word(word):
        return word
    start, kind, text, end = word.rsplit(b"?", 3)
    if kind in b"Qq":
        text = _RAW.sub(lambda raw: b"=%02X" % raw[0][0], text)
    else:  # no letter of base64, so readers leave it out
        text = _RAW.sub(b"", text)
    return b"?".join((start, kind, text, end))


def _short(tag: str, text: str, value: bytes) -> str:
    """Return *text* behind *tag*, folded where that made a line of *value* too long."""
    known = {line.decode("utf-8", "replace") for line in value.split(b"\n")}
    first, *rest = text.split("\n")
    if len(f"{_NAME}{tag}{first}".encode()) > MAX_LINE:
        lines = [tag.rstrip(), *_cut(f" {first}", whole=first in known)]
    else:
        lines = [f"{tag}{first}"]
    for line in rest:
        lines += _cut(line, whole=line in known)
    return "\n".join(lines)


def _cut(line: str, *, whole: bool) -> Iterator[str]:
    """Yield *line* in parts of `MAX_LINE`, cut before blanks, unless it must stay *whole*."""
    left = line.encode()
    while len(left) > MAX_LINE and not whole:
        at = left.rfind(b" ", 1, MAX_LINE + 1)
        if not left[: max(at, 0)].strip():
            break  # one word, which nothing can cut
        yield left[:at].decode()
        left = left[at:]
    yield left.decode()
