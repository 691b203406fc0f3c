"""Where the parts of a multipart begin and end: delimiter lines (RFC 2046 5.1.1). Pure.

As in mail programs, only the beginning of a line is compared with ``--boundary``. If several
boundaries match, the one that is the whole line wins, else the longest; among equals, the
innermost. Only LF ends a line: Postfix replaces a bare CR by a blank
(cleanup_replace_stray_cr_lf).
"""

import re
from dataclasses import dataclass

# After a delimiter: "--" and a line end. Nothing beyond it changes what the line means.
_LOOK_AHEAD = 4
_WHOLE_LINE = re.compile(rb"(?:--)?\r?(?:\n|\Z)")


@dataclass(slots=True)
class Level:
    """One multipart; several *delimiters* where mail programs read its boundary differently."""

    delimiters: list[bytes]
    type: str
    has_plain: bool = False  # a second text/plain in an alternative is a file


@dataclass(frozen=True, slots=True)
class Delimiter:
    """A delimiter line: its multipart (0 is the outermost), and whether it closes it."""

    level: int
    text: bytes
    closes: bool


def find(levels: list[Level], text: bytes, *, line_start: bool) -> int | None:
    """Return where a delimiter line begins in *text*; *line_start*: *text* begins a line."""
    if line_start and match(levels, text):
        return 0
    best = len(text)
    for level in levels:
        for delimiter in level.delimiters:
            at = text.find(b"\n" + delimiter, 0, best + len(delimiter))
            best = best if at < 0 else at + 1
    return None if best == len(text) else best


def match(levels: list[Level], line: bytes) -> Delimiter | None:
    """Return *line* as a delimiter; ``None`` if it is none."""
    if not line.startswith(b"--"):
        return None
    best: Delimiter | None = None
    for number in range(len(levels) - 1, -1, -1):
        for text in levels[number].delimiters:
            if line.startswith(text) and (best is None or len(text) > len(best.text)):
                best = Delimiter(number, text, line.startswith(b"--", len(text)))
                if _WHOLE_LINE.match(line, len(text)):
                    return best
    return best


def is_clear(levels: list[Level], line: bytes) -> bool:
    """Return whether *line*, which begins like a delimiter, is long enough to identify it."""
    longest = max(len(text) for level in levels for text in level.delimiters)
    return len(line) >= longest + _LOOK_AHEAD or b"\n" in line


def settled(levels: list[Level], text: bytes, *, line_start: bool) -> int:
    """Return how much of *text*, in which `find` found nothing, cannot be a delimiter line."""
    start = text.rfind(b"\n") + 1
    line = text[start:]
    if not line.startswith(b"-") or (start == 0 and not line_start):
        return len(text)
    may_begin = any(each.startswith(line) for level in levels for each in level.delimiters)
    return start if may_begin else len(text)
