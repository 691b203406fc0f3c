"""The commands of docs/operations.md, as printed."""

import re
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/operations.md"
_BLOCK = re.compile(r"^```sh ?(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(section: str, *, typed: bool = True) -> list[str]:
    """Return the commands of *section*, a ``##`` heading, one after the other.

    *typed*: also those that ask at a terminal.
    """
    return [
        line
        for kind, block in _blocks(section)
        if typed or kind != "terminal"
        for line in block.splitlines()
        if line.strip()
    ]


def _blocks(section: str) -> Iterator[tuple[str, str]]:
    text = PAGE.read_text(encoding="utf-8")
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        if part.splitlines()[0] == section:
            yield from _BLOCK.findall(part)
