"""The commands of docs/operations.md, as printed."""

import re
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/operations.md"
_BLOCK = re.compile(r"^```sh ?\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(section: str) -> list[str]:
    """Return the commands of *section*, a ``##`` heading, in their order."""
    text = PAGE.read_text(encoding="utf-8")
    return [line for block in blocks(text, section) for line in block.splitlines() if line.strip()]


def blocks(text: str, section: str) -> Iterator[str]:
    """Yield each block of commands of *section* in the page *text*."""
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        if part.splitlines()[0] == section:
            yield from _BLOCK.findall(part)
