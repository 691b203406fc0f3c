"""Where the parts of a multipart begin and end: delimiter lines (RFC 2046 5.1.1). Pure.

A delimiter line is ``--boundary``, perhaps ``--``, blanks, and a line end. As in
the `email` package a CR or LF alone ends a line, too, and a line that fits several
multiparts belongs to the outermost. At most `MAX_BLANKS` blanks are read.
"""

import re
from dataclasses import dataclass, field

MAX_BLANKS = 1000  # RFC 5321 4.5.3.1.6 ends a line there; bounds what is held back
# Lines that begin like a delimiter and are none, before looking for it is left to a
# pattern. Compiling one takes 150 µs, as long as all the rest of a small message.
MAX_MISSES = 20
_BLANKS = rb"(--)?[ \t]{0,%d}" % MAX_BLANKS
# A CR that ends what there is so far may be the first half of a CRLF.
_END = _BLANKS + rb"(?:\r\n|\r(?!\Z)|\n)"
_REST = re.compile(_END)
_LAST_REST = re.compile(_BLANKS + rb"(?:\r\n|\r|\n)?\Z")
_BEGUN_REST = re.compile(rb"-{0,2}[ \t]{0,%d}\r?\Z" % MAX_BLANKS)


@dataclass(frozen=True, slots=True)
class Delimiter:
    """A delimiter line found: its place, its multipart (0 is the outermost), its kind."""

    start: int
    end: int
    level: int
    closes: bool


@dataclass(slots=True)
class Level:
    """One multipart."""

    delimiter: bytes
    is_digest: bool
    _patterns: dict[bytes, re.Pattern[bytes]] = field(default_factory=dict)

    def search(self, text: bytes) -> tuple[int, re.Match[bytes]] | None:
        """Return the first delimiter line after a line end: its start, and what ends it."""
        if self.delimiter not in text:
            return None
        found = self._after(b"\n", text)
        alone = self._after(b"\r", text)
        return min((each for each in (found, alone) if each), default=None, key=lambda f: f[0])

    def match(self, line: bytes, *, last: bool) -> re.Match[bytes] | None:
        """Return what ends *line* if that is one of ours; the *last* line may lack its end."""
        if not line.startswith(self.delimiter):
            return None
        return (_LAST_REST if last else _REST).match(line, len(self.delimiter))

    def may_begin(self, line: bytes) -> bool:
        """Return whether the unfinished *line* may become one of our delimiter lines."""
        if line.startswith(self.delimiter):
            return _BEGUN_REST.match(line, len(self.delimiter)) is not None
        return self.delimiter.startswith(line)

    def _after(self, end: bytes, text: bytes) -> tuple[int, re.Match[bytes]] | None:
        wanted = end + self.delimiter
        at = -1
        for _ in range(MAX_MISSES):
            at = text.find(wanted, at + 1)
            if at < 0:
                return None
            if rest := _REST.match(text, at + len(wanted)):
                return at + 1, rest
        pattern = self._patterns.setdefault(end, re.compile(re.escape(wanted) + _END))
        found = pattern.search(text, at + 1)
        return (found.start() + 1, found) if found else None


def find(levels: list[Level], text: bytes, *, line_start: bool) -> Delimiter | None:
    """Return the first delimiter line in *text*; *line_start*: *text* begins a line."""
    if line_start and (here := match(levels, text, last=False)):
        return here
    best: Delimiter | None = None
    for number, level in enumerate(levels):
        found = level.search(text)
        # Of two levels that fit the same line the outer one, seen first, stays.
        if found and (best is None or found[0] < best.start):
            best = Delimiter(found[0], found[1].end(), number, bool(found[1][1]))
    return best


def match(levels: list[Level], line: bytes, *, last: bool) -> Delimiter | None:
    """Return the delimiter line that *line* begins with; the *last* line may lack its end."""
    if not line.startswith(b"--"):
        return None
    for number, level in enumerate(levels):
        if found := level.match(line, last=last):
            return Delimiter(0, found.end(), number, bool(found[1]))
    return None


def settled(levels: list[Level], text: bytes, *, line_start: bool) -> int:
    """Return how much of *text*, in which `find` found nothing, can be no delimiter line."""
    body = text.removesuffix(b"\r")
    start = max(body.rfind(b"\n"), body.rfind(b"\r")) + 1
    if start == 0 and not line_start:
        return len(text)
    line = text[start:]
    if line and any(level.may_begin(line) for level in levels):
        return start
    return len(text)
