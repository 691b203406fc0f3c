"""What a message counts against attachment limits, in one pass and constant memory.

Pure: bytes in, sizes out, for a message of any size fed in pieces of any size.
Trusts nothing. Keeps at most the start of one line and the stack of boundaries.

**A file** is a leaf part that a mail program may show or save as one: it is declared an
attachment, or has a name, or is neither text/plain nor text/html. Its decoded size counts.
The parts of a forwarded message count one by one unless it has a file name. The structure
is the one that Dovecot reports to IMAP clients; where mail programs read a field
differently, the larger reading counts.

**All other bytes** of the message (text, headers, preamble, epilogue, anything unreadable)
share one allowance, `config.wire.ALLOWANCE`; beyond it they count undecoded. So however a
program reads a message, it finds no more than the limit and that allowance.

**Limits.** Past `MAX_PARTS` parts, `MAX_DEPTH` levels or `MAX_HEADERS` bytes of
part headers the structure is no longer followed and every further byte of the message
counts: never less than the true size, and a bomb costs no more than ordinary mail.
"""

import re
from dataclasses import dataclass

from config import wire
from milters.mime import boundary
from milters.mime.boundary import Delimiter, Level
from milters.mime.count import Counter, Raw, UuText, counter
from milters.mime.part import Fields, Part

MAX_PARTS = 1000  # an empty part costs 50 µs; the digest of a busy list has some hundred
MAX_DEPTH = 50  # a reply to a forwarded reply: people do not reach ten
MAX_HEADERS = 1 << 20  # of all parts together; 1,000 parts of 5 lines of 60 bytes are 0.6 MiB
LINE_COST = 64  # bytes a header line counts beside its own: a short one takes as much time
MAX_HEADER_LINE = 8 << 10  # bytes of a header line that are read; twice the longest field
_PIECE = 64 << 10  # what libmilter passes at a time; bounds copying when fed more at once
_LINE = re.compile(rb"[^\n]*\n")
_LAST_LINE = re.compile(rb"[^\n]*\n|[^\n]+\Z")
_FIELD = re.compile(rb"From |[!-9;-~]+[ \t]*:|[\t ]")
_BLANK = (b"\r\n", b"\n", b"\r")
_UNKNOWN = Part("application/octet-stream", "", True, (), "", "")


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file, as its part describes it."""

    name: str
    type: str
    size: int


class Scanner:
    """Feed it a message, close it, and read `attachments` and `total`.

    *unseen* bytes of the message are not fed: header fields that do not describe the body.
    """

    def __init__(self, unseen: int = 0) -> None:
        self.attachments: list[Attachment] = []
        self.exact = True  # False once a limit made the rest count undecoded
        self._wire = unseen
        self._files = 0  # decoded bytes of `attachments`
        self._covered = 0  # bytes of the wire that these took
        self._held = b""  # the start of a line that is not complete yet
        self._skipping = False  # the rest of a line whose meaning is known
        self._line_start = True  # the next byte begins a line
        self._levels: list[Level] = []  # the open multiparts
        self._opening: Level | None = None  # the multipart whose preamble is being read
        self._part = _UNKNOWN  # the leaf being read, its counter if it may count, its bytes
        self._counter: Counter | None = None
        self._leaf = 0
        self._parts = 0
        self._header_bytes = 0
        self._begin_part("text/plain", in_message=True)

    @property
    def total(self) -> int:
        """Return what counts of the message so far: never more than the final sum."""
        files, covered = self._files, self._covered
        if self._counter is not None:
            covered += self._leaf + len(self._held)
            if self._opening is None:  # a preamble is a file only if no part ever comes
                files += self._counter.so_far()
        elif self._fields is not None:  # a body may have begun without an empty line
            covered += self._stray_bytes + len(self._held)
        beyond = max(0, self._wire - covered - wire.ALLOWANCE)
        return min(self._wire, max(files + beyond, wire.least(self._wire)))

    def feed(self, data: bytes) -> None:
        """Take the next piece of the message."""
        self._wire += len(data)
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
            if self._skipping:
                end = rest.find(b"\n") + 1
                self._skipping = end == 0
                rest = rest[end:] if end else b""
            elif self._fields:
                rest = self._header(rest, last)
            else:
                rest = self._body(rest, last)

    # --- a header ---

    def _begin_part(self, default_type: str, *, in_message: bool) -> None:
        """Expect a header: *in_message* that of a message, else that of a part."""
        self._fields: Fields | None = Fields()
        self._default_type = default_type
        self._in_message = in_message
        self._stray: Counter | None = None  # a body that began without an empty line
        self._stray_bytes = 0
        self._parts += 1
        if self._parts > MAX_PARTS:
            self._give_up()

    def _header(self, rest: bytes, last: bool) -> bytes:
        """Read header lines; return what follows the header."""
        at = 0
        while line := (_LAST_LINE if last else _LINE).match(rest, at):
            text, at = line[0], line.end()
            if found := boundary.match(self._levels, text):
                self._delimiter(found)
            elif text in _BLANK:
                self._begin_body()
            else:
                self._field(text)
            if self._fields is None:
                return rest[at:]
        return self._unfinished(rest[at:])

    def _field(self, line: bytes) -> None:
        """Take a line of the header. Mail programs skip one that is no field."""
        if self._fields is None:
            return
        if self._stray is None and not _FIELD.match(line):
            part = self._fields.part(self._default_type)
            self._stray, self._stray_bytes = counter(part.encoding), 0
        if self._stray is not None:
            self._stray.take(line)
            self._stray_bytes += len(line)
        self._fields.add(line)
        self._header_bytes += LINE_COST + len(line)
        if self._header_bytes > MAX_HEADERS:
            self._give_up()

    def _unfinished(self, line: bytes) -> bytes:
        """Hold a line whose end has not come, or judge it by its start if it is too long."""
        if len(line) <= MAX_HEADER_LINE:
            self._held = line
            return b""
        if found := boundary.match(self._levels, line):
            self._delimiter(found)
            self._skipping = True
        else:
            self._field(line)
            self._skipping = self._fields is not None
        return b""

    def _begin_body(self) -> None:
        """Act on the header that has ended."""
        if self._fields is None:
            return
        part = self._fields.part(self._default_type)
        self._fields, self._line_start = None, True
        if part.is_message:
            self._begin_part("text/plain", in_message=True)
            return
        if part.is_multipart:
            if len(self._levels) == MAX_DEPTH:
                self._give_up()
                return
            self._opening = Level(
                sorted((b"--" + each for each in part.boundaries), key=len, reverse=True), part.type
            )
        self._part, self._leaf = part, 0
        self._counter = self._counter_of(part)

    def _counter_of(self, part: Part) -> Counter | None:
        is_file = part.is_attachment
        if self._levels and not self._in_message and part.type == "text/plain":
            level = self._levels[-1]
            # Of two texts of an alternative a mail program shows one and lists the other.
            is_file = is_file or (level.type == "multipart/alternative" and level.has_plain)
            level.has_plain = True
        if is_file:
            return counter(part.encoding)
        return UuText() if self._in_message and part.may_hold_uuencode else None

    def _end_header(self) -> None:
        """End a header at a delimiter line or the end of the message."""
        while self._fields:
            stray, size = self._stray, self._stray_bytes
            self._begin_body()
            if stray is not None:
                self._count_stray(stray, size)

    def _count_stray(self, stray: Counter, size: int) -> None:
        """Take as the body what followed a line that is no field: no empty line came."""
        if self._counter is not None and self._opening is None:
            self._counter, self._leaf = stray, size

    # --- a body ---

    def _body(self, rest: bytes, last: bool) -> bytes:
        """Count up to the next delimiter line; return what follows its delimiter."""
        if b"-" not in rest:  # most pieces of base64; checked at 40 GB/s
            self._take(rest)
            return b""
        levels = [*self._levels, self._opening] if self._opening else self._levels
        start = boundary.find(levels, rest, line_start=self._line_start)
        if start is None:
            cut = len(rest)
            if levels and not last:
                cut = boundary.settled(levels, rest, line_start=self._line_start)
            self._take(rest[:cut])
            self._held = rest[cut:]
            return b""
        self._take(rest[:start])
        line = rest[start:]
        if not last and not boundary.is_clear(levels, line):
            self._held = line
            return b""
        if found := boundary.match(levels, line):
            self._delimiter(found)
            self._skipping = True
        return line

    def _take(self, piece: bytes) -> None:
        if piece:
            self._line_start = piece.endswith(b"\n")
            self._leaf += len(piece)
            if self._counter is not None:
                self._counter.take(piece)

    def _delimiter(self, found: Delimiter) -> None:
        """End the part being read, and what lies between it and the level of the delimiter."""
        self._end_header()
        if self._opening is not None and found.level == len(self._levels):
            self._levels.append(self._opening)
            if found.closes:  # a multipart without parts: only its text counts
                self._end_leaf()
            self._counter = self._opening = None
        else:
            self._end_leaf()
            del self._levels[found.level + 1 :]
        level = self._levels[-1]
        if not found.closes:
            digest = level.type == "multipart/digest"
            self._begin_part("message/rfc822" if digest else "text/plain", in_message=False)
            return
        # Some programs read another boundary, and see parts that may still follow.
        level.delimiters.remove(found.text)
        if not level.delimiters:
            self._levels.pop()

    def _end_leaf(self) -> None:
        """Add the leaf to the sums. The line end before a delimiter belongs to the delimiter."""
        if self._counter is not None:
            strip = bool(self._levels) and self._opening is None
            size = self._counter.finish(strip=strip)
            growth = self._counter.GROWTH if self._part.is_sure else 1
            if size or not isinstance(self._counter, UuText):
                self.attachments.append(Attachment(self._part.name, self._part.type, size))
            self._files += size
            self._covered += min(self._leaf, size * growth)
        self._counter = self._opening = None
        self._leaf = 0

    def _give_up(self) -> None:
        """Stop following the structure: every further byte counts undecoded."""
        self._end_leaf()
        self._levels.clear()
        self._fields, self._part, self._counter = None, _UNKNOWN, Raw()
        self.exact = False
