"""Decoded sizes of the attachments of a message, in one pass and constant memory.

Pure: bytes in, sizes out, for a message of any size fed in pieces of any size.
Trusts nothing. Keeps at most the start of one line and the stack of boundaries.

**An attachment** is a leaf part that says ``Content-Disposition: attachment``,
or has a file name (also inline), or is not ``text/*``. Parts, types, names and
decoded sizes are those of the `email` package's ``walk()`` under its compat32
policy; the parts of a forwarded message count one by one. The differences, each
with its reason and its test (tests/milters/test_mime_differences.py):

* a transfer encoding is read as RFC 2045's token: ``base64 `` and ``base64;`` are base64;
* an *encoded* message/rfc822 is one attachment of its decoded size: `email` takes
  its base64 for the text of the message, and a limit could be slipped past;
* message/delivery-status is not opened: it holds fields, no files;
* a part with a field over 4 KiB or 64 parameters counts; header names and the blanks after
  a boundary are read up to 1 kB;
* those of `milters.mime_count`.

Text within text (uuencode in a text/plain body) is text, as it is for `email`.

**Limits.** Past `MAX_PARTS` parts, `MAX_DEPTH` levels or `MAX_HEADERS` bytes of
part headers the structure is no longer followed and every further byte of the
message counts: never less than the truth, and a bomb costs no more than a letter.
"""

import re
from dataclasses import dataclass

from milters import mime_boundary
from milters.mime_boundary import Delimiter, Level
from milters.mime_count import Counter, Raw, counter
from milters.mime_part import Fields, Part

MAX_PARTS = 1000  # an empty part costs 50 µs; the digest of a busy list has some hundred
MAX_DEPTH = 50  # a reply to a forwarded reply: people do not reach ten
MAX_HEADERS = 1 << 20  # of all parts together; 1,000 parts of 5 lines of 60 bytes are 0.6 MiB
LINE_COST = 64  # bytes a header line counts beside its own: a short one takes as much time
MAX_HEADER_NAME = 1000  # a line has at most 998 bytes (RFC 5322 2.1.1)
MAX_HEADER_LINE = 8 << 10  # beyond it a header line is skipped; above any delimiter line
_PIECE = 64 << 10  # what a milter is given at a time; bounds copying when fed more at once
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r(?!\Z)|\n)")
_LAST_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_HEADER = re.compile(rb"From |[!-9;-~]{0,%d}:|[\t ]" % MAX_HEADER_NAME)
_BLANK = (b"\r\n", b"\n", b"\r")
_UNKNOWN = Part("application/octet-stream", "", None, "", "")


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment, as its part describes it."""

    name: str
    type: str
    size: int


class Scanner:
    """Feed it a message, close it, and read `attachments`."""

    def __init__(self) -> None:
        self.attachments: list[Attachment] = []
        self.exact = True  # False once a limit made the rest count as it stands
        self._done = 0  # decoded bytes of `attachments`
        self._held = b""  # the start of a line that is not yet understood
        self._line_start = True  # the next byte begins a line
        self._levels: list[Level] = []  # multiparts, a part of which is being read
        self._opening: Level | None = None  # the multipart whose preamble is being read
        self._part = _UNKNOWN  # the leaf being read, and its counter if it counts
        self._counter: Counter | None = None
        self._parts = 0
        self._header_bytes = 0
        self._begin_part("text/plain", fresh=False)

    @property
    def total(self) -> int:
        """Return the decoded bytes found so far: never more than the final sum."""
        if self._counter is None or self._opening is not None:
            return self._done  # a preamble counts only if no part ever comes
        return self._done + self._counter.so_far()

    def feed(self, data: bytes) -> None:
        """Take the next piece of the message."""
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            self._read(self._held + piece if self._held else piece, last=False)

    def close(self) -> None:
        """End the message: `attachments` and `total` are complete."""
        self._read(self._held, last=True)
        self._end_header()
        self._end_leaf()

    def _read(self, rest: bytes, *, last: bool) -> None:
        self._held = b""
        while rest:
            rest = self._header(rest, last) if self._fields else self._body(rest, last)

    # --- a header ---

    def _begin_part(self, default_type: str, *, fresh: bool) -> None:
        """Expect a header. *fresh*: a delimiter came before, repetitions of which are skipped."""
        self._fields: Fields | None = Fields()
        self._default_type = default_type
        self._fresh = fresh
        self._any_field = False
        self._from_line = b""
        self._skipping = False  # the rest of a header line that is too long
        self._parts += 1
        if self._parts > MAX_PARTS:
            self._give_up()

    def _header(self, rest: bytes, last: bool) -> bytes:
        """Read header lines; return what follows the header."""
        at = 0
        while line := (_LAST_LINE if last else _LINE).match(rest, at):
            text, at = line[0], line.end()
            if self._skipping:
                self._skipping = False
            elif found := mime_boundary.match(self._levels, text, last=True):
                if not self._fresh or found.level < len(self._levels) - 1:
                    self._delimiter(found)
                    return rest[at:]
                self._spend(LINE_COST + len(text))
            elif not self._field(text):
                text = b"" if text in _BLANK else text
                return self._begin_body() + text + rest[at:]
            if self._fields is None:
                return rest[at:]
        return self._unfinished(rest[at:])

    def _field(self, line: bytes) -> bool:
        """Take a line of the header; return False if it is none."""
        self._fresh = False
        if not _HEADER.match(line) or self._fields is None:
            return False
        # mbox: a "From " line that ends a header is the first of the body (as in `email`).
        self._from_line = line if line.startswith(b"From ") and self._any_field else b""
        self._any_field = True
        self._fields.add(line)
        self._spend(LINE_COST + len(line))
        return True

    def _unfinished(self, line: bytes) -> bytes:
        """Hold a line whose end has not come, or judge it by its start if it is too long."""
        if self._skipping:
            self._spend(len(line))
            self._held = b"\r" if line.endswith(b"\r") else b""
            return b""
        if len(line) <= MAX_HEADER_LINE:
            self._held = line
            return b""
        if self._field(line):
            self._skipping = self._fields is not None
            return b""
        return self._begin_body() + line

    def _spend(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADERS:
            self._give_up()

    def _begin_body(self) -> bytes:
        """Act on the header that has ended; return what of it belongs to the body."""
        if self._fields is None:
            return b""
        pushed, part = self._from_line, self._fields.part(self._default_type)
        self._fields, self._line_start = None, True
        if part.is_message:
            self._begin_part("text/plain", fresh=False)
            return pushed
        if part.main == "multipart" and part.boundary is not None:
            if len(self._levels) == MAX_DEPTH:
                self._give_up()
                return pushed
            self._opening = Level(
                b"--" + part.boundary.encode("utf-8", "surrogateescape"),
                part.type == "multipart/digest",
            )
        self._part = part
        self._counter = counter(part.encoding) if part.is_attachment else None
        return pushed

    def _end_header(self) -> None:
        """A delimiter line or the end of the message came in a header."""
        while self._fields:
            pushed = self._begin_body()
            if pushed:
                self._read(pushed, last=True)

    # --- a body ---

    def _body(self, rest: bytes, last: bool) -> bytes:
        """Count up to the next delimiter line; return what follows it."""
        if b"-" not in rest:  # most pieces of base64: found out at 40 GB/s
            self._take(rest)
            return b""
        levels = [*self._levels, self._opening] if self._opening else self._levels
        found = mime_boundary.find(levels, rest, line_start=self._line_start)
        if found is None and last and self._line_start:
            found = mime_boundary.match(levels, rest, last=True)
        if found is None:
            cut = len(rest)
            if levels and not last:
                cut = mime_boundary.settled(levels, rest, line_start=self._line_start)
            self._held = rest[cut:]
            self._take(rest[:cut])
            return b""
        self._take(rest[: found.start])
        self._delimiter(found)
        return rest[found.end :]

    def _take(self, piece: bytes) -> None:
        if piece:
            self._line_start = piece.endswith((b"\n", b"\r"))
            if self._counter is not None:
                self._counter.take(piece)

    def _delimiter(self, found: Delimiter) -> None:
        """End the part being read, and what lies between it and the level of the delimiter."""
        self._end_header()
        opened = self._opening
        if opened is not None and found.level == len(self._levels):
            if found.closes:  # a multipart of no part: its text is all there is
                self._end_leaf()
                return
            self._counter = self._opening = None
            self._levels.append(opened)
        else:
            self._end_leaf()
            del self._levels[found.level + 1 :]
            if found.closes:
                self._levels.pop()
                return
        digest = self._levels[-1].is_digest
        self._begin_part("message/rfc822" if digest else "text/plain", fresh=True)

    def _end_leaf(self) -> None:
        """Book the leaf. The line end before a delimiter belongs to the delimiter."""
        if self._counter is not None:
            strip = bool(self._levels) and self._part.main != "multipart"
            size = self._counter.finish(strip=strip)
            self.attachments.append(Attachment(self._part.name, self._part.type, size))
            self._done += size
        self._counter = self._opening = None

    def _give_up(self) -> None:
        """Follow the structure no longer: from here on every byte counts as it stands."""
        self._end_leaf()
        self._levels.clear()
        self._fields, self._part, self._counter = None, _UNKNOWN, Raw()
        self.exact = False
