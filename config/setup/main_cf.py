"""The text of a Postfix main.cf, edited in place: all other bytes stay as they are. Pure.

postconf(5): a line that begins with white space continues the one before, also across comments
and empty lines; the last of several settings of a parameter counts.
"""

import re
from dataclasses import dataclass

_ASSIGNMENT = re.compile(r"([A-Za-z0-9_]+)[ \t]*=[ \t]*")
_MARK = "# ---- gatepost, {name}: `gatepost setup` made these lines and takes them out again ----"
_END = "# ---- end of gatepost, {name} ----"


@dataclass(frozen=True, slots=True)
class Value:
    """A parameter's value as Postfix joins it, and the place of each character in the file."""

    text: str
    offsets: tuple[int, ...]  # one for each character of `text`
    start: int  # where the value begins in the file, also when it is empty


def find(text: str, name: str) -> Value | None:
    """Return the value of *name* in the main.cf *text*; ``None`` if it is not set."""
    found = None
    joined: list[int] | None = None  # offsets of the value being read, if it is one of `name`
    start = position = 0
    for line in text.splitlines(keepends=True):
        is_blank = not line.strip() or line.lstrip().startswith("#")
        if not is_blank and line[0] not in " \t":
            if joined is not None:
                found = _value(text, joined, start)
            assignment = _ASSIGNMENT.match(line)
            joined = None
            if assignment and assignment[1] == name:
                start = position + assignment.end()
                joined = list(range(start, position + len(line)))
        elif not is_blank and joined is not None:
            joined += range(position, position + len(line))
        position += len(line)
    return _value(text, joined, start) if joined is not None else found


def _value(text: str, offsets: list[int], start: int) -> Value:
    while offsets and text[offsets[-1]].isspace():
        offsets.pop()
    return Value("".join(text[each] for each in offsets), tuple(offsets), start)


def replace(text: str, name: str, value: str) -> str:
    """Return *text* with the value of *name*, which is set, on one line as *value*."""
    found = find(text, name)
    if found is None:
        raise LookupError(f"main.cf does not set {name}")
    end = found.offsets[-1] + 1 if found.offsets else found.start
    return text[: found.start] + value + text[end:]


def with_block(text: str, name: str, lines: str) -> str:
    """Return *text* with *lines* between marks with *name*: in place of the old ones, or last."""
    made = f"{_MARK.format(name=name)}\n{lines.strip()}\n{_END.format(name=name)}\n"
    found = _block(text, name)
    if found:
        return text[: found.start("marked")] + made + text[found.end() :]
    gap = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{gap}\n{made}"


def without_block(text: str, name: str) -> str:
    """Return *text* without the lines that `with_block` put there."""
    found = _block(text, name)
    return text[: found.start()] + text[found.end() :] if found else text


def block(text: str, name: str) -> str | None:
    """Return the lines between the marks of *name*, if they are there."""
    found = _block(text, name)
    return found["lines"] if found else None


def _block(text: str, name: str) -> "re.Match[str] | None":
    mark, end = re.escape(_MARK.format(name=name)), re.escape(_END.format(name=name))
    pattern = rf"\n?^(?P<marked>{mark}\n(?P<lines>.*?)^{end}\n)"
    return re.search(pattern, text, flags=re.MULTILINE | re.DOTALL)
