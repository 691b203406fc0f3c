"""The text of Dovecot's configuration: its passdbs, userdbs and quota roots, by file and line.

doveconf shows what is in effect, but not in which file and line; an edit needs both.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# Starts each line that is switched off, so that it can be switched on again.
MARK = "#gatepost# "
_INCLUDE = re.compile(r"^\s*!include(?:_try)?\s+(\S+)\s*$")
_BLOCK = re.compile(r"^\s*(passdb|userdb|quota)\b[^{]*\{")
_SETTING = re.compile(r"^\s*(\w+)\s*=\s*(.*?)\s*$")
# Files include each other; a site has some thirty.
MAX_FILES = 500


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file of Dovecot's configuration."""

    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """A ``passdb``, ``userdb`` or ``quota`` block: its lines and its own settings."""

    path: Path
    first: int  # line numbers from 1
    last: int
    kind: str
    head: str  # the line that opens it, without the brace
    settings: tuple[tuple[int, str, str], ...]  # line, name, value

    def get(self, name: str) -> str:
        """Return the value of a setting; empty when it is not set."""
        return next((value for _, key, value in self.settings if key == name), "")

    @property
    def answers_for_accounts(self) -> bool:
        """Return whether accounts sign in through it: it is no master passdb and does not deny."""
        return not {"yes", "y"} & {self.get("master"), self.get("deny")}

    def __str__(self) -> str:
        """Return its place and its driver."""
        driver = self.get("driver") or self.head.split(maxsplit=1)[-1]
        return f"{self.path}:{self.first} {self.kind} {driver}"


def read_all(start: Path) -> list[ConfigFile]:
    """Return the files that Dovecot reads, from *start* on, in the order it includes them."""
    found: list[ConfigFile] = []
    _read(start, found)
    return found


def _read(path: Path, found: list[ConfigFile]) -> None:
    path = Path(os.path.normpath(path))  # the name the site uses, not where a link leads
    if len(found) >= MAX_FILES or any(each.path == path for each in found):
        return
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except OSError:
        return  # !include_try, or unreadable: doveconf reports that
    found.append(ConfigFile(path, text))
    for line in text.splitlines():
        if include := _INCLUDE.match(line):
            where = path.parent / include[1]
            for each in sorted(Path("/").glob(str(where.absolute())[1:])):
                _read(each, found)


def blocks(file: ConfigFile) -> Iterable[Block]:
    """Yield the passdb, userdb and quota blocks of *file*, each with the blocks inside it.

    Their settings include those that `switch_off` has switched off.
    """
    lines = file.text.splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        opened = None if line.lstrip().startswith("#") else _BLOCK.match(line)
        if not opened:
            number += 1
            continue
        last = _closing(lines, number)
        inner = lines[number : last + 1]
        settings = [
            (number + 1 + offset, setting[1], setting[2])
            for offset, each in enumerate(inner)
            if (setting := _SETTING.match(each.removeprefix(MARK))) and _depth(inner[:offset]) == 1
        ]
        head = line.split("{")[0].strip()
        yield Block(file.path, number + 1, last + 1, opened[1], head, tuple(settings))
        number = last + 1


def _closing(lines: Sequence[str], first: int) -> int:
    for last in range(first, len(lines)):
        if _depth(lines[first : last + 1]) <= 0:
            return last
    return len(lines) - 1


def _depth(lines: Iterable[str]) -> int:
    bare = [line.split("#")[0] for line in lines]
    return sum(line.count("{") - line.count("}") for line in bare)


def switch_off(text: str, lines: Iterable[int]) -> str:
    """Return *text* with the lines of these numbers made comments that `switch_on` finds."""
    wanted = set(lines)
    return "".join(
        f"{MARK}{line}" if number in wanted and not line.startswith(MARK) else line
        for number, line in enumerate(text.splitlines(keepends=True), 1)
    )


def switch_on(text: str) -> str:
    """Return *text* with the lines that `switch_off` commented out as they were."""
    return re.sub(rf"^{re.escape(MARK)}", "", text, flags=re.MULTILINE)
