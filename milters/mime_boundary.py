"""Where the parts of a multipart begin and end: delimiter lines (RFC 2046 5.1.1). Pure.

A delimiter line is ``--boundary``, perhaps ``--``, blanks, and a line end. As in
the `email` package a CR or LF alone ends a line, too, and a line that fits several
multiparts belongs to the outermost. At most `MAX_BLANKS` blanks are read.
"""

import re
from dataclasses import dataclass, field

MAX_BLANKS = 1000  # RFC 5321 4.5.3.1.6 ends a line there; bounds what is held back
_REST = rb"(--)?[ \t]{0,%d}" % MAX_BLANKS
# A CR that ends what there is so far may be the first half of a CRLF.
_END = rb"(?:\r\n|\r(?!\Z)|\n)"


@dataclass(frozen=True, slots=True)
class Delimiter:
    """A delimiter line found: its place, its multipart (0 is the outermost), its kind."""

    start: int
    end: int
    level: int
    closes: bool


@dataclass(slots=True)
class Level:
    """One multipart. The patterns begin with literal text: `re` finds that at memory speed."""

    delimiter: bytes
    is_digest: bool
    after_lf: re.Pattern[bytes] = field(init=False)
    after_cr: re.Pattern[bytes] = field(init=False)
    line: re.Pattern[bytes] = field(init=False)
    last_line: re.Pattern[bytes] = field(init=False)
    begun: re.Pattern[bytes] = field(init=False)

    def __post_init__(self) -> None:
        """Compile once for all parts of this multipart."""
        text = re.escape(self.delimiter)
        self.after_lf = re.compile(rb"\n" + text + _REST + _END)
        self.after_cr = re.compile(rb"\r" + text + _REST + _END)
        self.line = re.compile(text + _REST + _END)
        self.last_line = re.compile(text + _REST + rb"(?:\r\n|\r|\n)?\Z")
        self.begun = re.compile(text + rb"-{0,2}[ \t]{0,%d}\r?\Z" % MAX_BLANKS)

    def search(self, text: bytes, start: int) -> re.Match[bytes] | None:
        """Return the first delimiter line after a line end in *text*."""
        if text.find(self.delimiter, start) < 0:
            return None
        found = self.after_lf.search(text, start)
        if text.find(b"\r" + self.delimiter, start) >= 0:
            alone = self.after_cr.search(text, start)
            if alone and (found is None or alone.start() < found.start()):
                return alone
        return found

    def may_begin(self, line: bytes) -> bool:
        """Return whether the unfinished *line* may become one of our delimiter lines."""
        return self.delimiter.startswith(line) or self.begun.match(line) is not None


def find(levels: list[Level], text: bytes, *, line_start: bool) -> Delimiter | None:
    """Return the first delimiter line in *text*; *line_start*: *text* begins a line."""
    if line_start and (here := match(levels, text, last=False)):
        return here
    best: Delimiter | None = None
    for number, level in enumerate(levels):
        found = level.search(text, 0)
        # Of two levels that fit the same line the outer one, seen first, stays.
        if found and (best is None or found.start() + 1 < best.start):
            best = Delimiter(found.start() + 1, found.end(), number, bool(found[1]))
    return best


def match(levels: list[Level], line: bytes, *, last: bool) -> Delimiter | None:
    """Return the delimiter line that *line* begins with; the *last* line may lack its end."""
    if not line.startswith(b"--"):
        return None
    for number, level in enumerate(levels):
        found = (level.last_line if last else level.line).match(line)
        if found:
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
