"""How many bytes an encoded body has once it is decoded, without decoding it into memory.

Pure. Each counter is fed the body in pieces of any size and then asked for the
size that ``email.message.Message.get_payload(decode=True)`` would have. Work is
one pass at C speed over each piece; what is kept between pieces is at most
`MAX_LINE` bytes.

Differences from `email`, each on purpose and each a test:

* base64 that continues after its padding still counts. `email` stops there, but many mail
  programs do not: four bytes (``AA==``) would switch the limit off. A padded block counts
  up to half a byte too much, because rounding each down would take a step per block;
* one surplus base64 character is dropped, as mail programs do; `email` gives up on the
  whole body and returns it undecoded;
* x-uuencode that continues after its ``end`` still counts, as in mail programs;
* a quoted-printable line longer than `MAX_LINE` is decoded in pieces (RFC 5321
  allows 998 bytes); this only matters for ``=`` followed by a bare CR.
"""

import binascii
import re
from typing import Protocol

MAX_LINE = 64 * 1024  # a line is at most 998 bytes (RFC 5321 4.5.3.1.6); bounds memory
MAX_UU_SURPLUS = 3  # what encoders append: padding of the last group, and a checksum
MAX_UU_LINE = 1024  # an encoded line has 62 bytes; what follows them is never looked at
_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)
_UU_BEGIN = re.compile(rb"begin ([^ ]*)")
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r(?!\Z)|\n)")


class Counter(Protocol):
    """What every encoding offers."""

    # At most so many bytes of the body count as the encoding of one decoded byte. The rest
    # belongs to no file: base64 may be padded with any number of blanks.
    GROWTH: int

    def take(self, piece: bytes) -> None:
        """Count the next *piece* of the body."""

    def so_far(self) -> int:
        """Return a lower bound of the final size."""

    def finish(self, *, strip: bool) -> int:
        """Return the decoded size; *strip* takes off one line end (RFC 2046 5.1.1)."""


class Raw:
    """7bit, 8bit, binary, and every unknown encoding."""

    GROWTH = 1
    __slots__ = ("_size", "_tail")

    def __init__(self) -> None:
        self._size = 0
        self._tail = b""

    def take(self, piece: bytes) -> None:
        """Count, and keep the end for `finish`."""
        self._size += len(piece)
        self._tail = (self._tail + piece[-2:])[-2:]

    def so_far(self) -> int:
        """Return all but a line end that may yet be stripped."""
        return max(0, self._size - 2)

    def finish(self, *, strip: bool) -> int:
        """Return the size."""
        return self._size - _line_end(self._tail) if strip else self._size


class Base64:
    """RFC 2045 6.8: whatever is not of the alphabet is ignored."""

    GROWTH = 2
    __slots__ = ("_characters",)

    def __init__(self) -> None:
        self._characters = 0

    def take(self, piece: bytes) -> None:
        """Deleting all the rest and taking the length is the fastest exact count there is."""
        self._characters += len(piece.translate(None, _NOT_BASE64))

    def so_far(self) -> int:
        """Return six bits a character."""
        return self._characters * 3 // 4

    def finish(self, *, strip: bool) -> int:  # noqa: ARG002 - line ends are not of the alphabet
        """Return the size."""
        return self.so_far()


class QuotedPrintable:
    """RFC 2045 6.7, as `binascii.a2b_qp` reads it.

    After each LF the decoder is in its initial state, so whole lines can be decoded
    separately. The last line is kept, because its end may be stripped.
    """

    GROWTH = 4
    __slots__ = ("_kept", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._kept = b""

    def take(self, piece: bytes) -> None:
        """Decode all but the last line."""
        data = self._kept + piece if self._kept else piece
        cut = data.rfind(b"\n", 0, max(0, data.rfind(b"\n"))) + 1
        if len(data) - cut > MAX_LINE:
            cut = len(data) - 2
            if b"=" in data[cut - 2 : cut]:  # not through the middle of "=3D"
                cut = data.rfind(b"=", 0, cut)
        self._size += len(binascii.a2b_qp(data[:cut]))
        self._kept = data[cut:]

    def so_far(self) -> int:
        """Return what is decoded."""
        return self._size

    def finish(self, *, strip: bool) -> int:
        """Decode the kept line as well."""
        last = self._kept
        if strip:
            last = last[: len(last) - _line_end(last)]
        return self._size + len(binascii.a2b_qp(last))


class UuEncoded:
    """``x-uuencode``: lines between ``begin MODE NAME`` and ``end``; anything odd counts raw."""

    GROWTH = 2
    __slots__ = ("_blank", "_decoded", "_found", "_kept", "_raw", "_state")

    def __init__(self) -> None:
        self._raw = Raw()
        self._decoded = 0
        self._kept = b""
        self._blank = False  # the last line was empty; an error unless its end is stripped
        self._found = False
        self._state = "before"

    def take(self, piece: bytes) -> None:
        """Read the lines that are complete."""
        self._raw.take(piece)
        if self._state == "broken":
            return
        data = self._kept + piece
        at = 0
        if self._state == "before" and b"begin " not in data:  # most text: at memory speed
            at = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1
        while line := _LINE.match(data, at):
            self._line(data[at : line.end()].rstrip(b"\r\n"))
            at = line.end()
        self._kept = data[at:][:MAX_UU_LINE]

    def so_far(self) -> int:
        """Return what is decoded."""
        return self._decoded

    def finish(self, *, strip: bool) -> int:
        """Return the decoded size, or the raw one when this is no uuencoded text."""
        last = self._kept
        if strip and last.endswith(b"\r"):
            last = last[:-1]
        elif strip and not last:
            self._blank = False
        if last:
            self._line(last.rstrip(b"\r"))
        if self._blank or not self._found or self._state == "broken":
            return self._raw.finish(strip=strip)
        return self._decoded

    def _line(self, line: bytes) -> None:
        if self._blank:
            self._state = "broken"  # `email` calls this truncated
        elif self._state == "before":
            begin = _UU_BEGIN.match(line)
            if begin and re.fullmatch(rb"[0-7_]+", begin[1]):
                self._state = "in"
                self._found = True
        elif self._state == "in":
            self._encoded(line)

    def _encoded(self, line: bytes) -> None:
        if not line:
            self._blank = True
        elif line.strip(b" \t\r\n\f") == b"end":
            self._state = "before"  # another block may follow
        elif (size := _uu_size(line)) is None:
            self._state = "broken"
        else:
            self._decoded += size


class UuText(UuEncoded):
    """Text in which mail programs find uuencoded files: only those count here.

    A line that may not be encoded ends a block: prose may contain "begin", too.
    """

    __slots__ = ()

    def finish(self, *, strip: bool) -> int:  # noqa: ARG002 - text around files does not count
        """Return the decoded size of all files."""
        if self._kept:
            self._line(self._kept.rstrip(b"\r"))
        return self._decoded

    def _encoded(self, line: bytes) -> None:
        surplus = len(line) - _uu_length(line) if line else -1
        size = _uu_size(line) if 0 <= surplus <= MAX_UU_SURPLUS else None
        if size is None:
            self._state = "before"  # also at "end"
        else:
            self._decoded += size


def _uu_length(line: bytes) -> int:
    """Return how long *line* is by its first character, which says how much it holds."""
    return (((line[0] - 32) & 63) * 4 + 5) // 3


def _uu_size(line: bytes) -> int | None:
    # Encoders append padding and checksums.
    try:
        return len(binascii.a2b_uu(line[: _uu_length(line)]))
    except binascii.Error:
        return None


def counter(encoding: str) -> Counter:
    """Return the counter for a Content-Transfer-Encoding in lower case."""
    match encoding:
        case "base64":
            return Base64()
        case "quoted-printable":
            return QuotedPrintable()
        case "x-uuencode" | "uuencode" | "uue" | "x-uue":
            return UuEncoded()
        case _:
            return Raw()


def _line_end(tail: bytes) -> int:
    if tail.endswith(b"\r\n"):
        return 2
    return 1 if tail.endswith((b"\n", b"\r")) else 0
