"""The files a site installs, with only paths and ports made private.

A substitution that finds nothing raises: when a shipped file changes, the stack
fails instead of running on something else than what we ship.
"""

from collections.abc import Mapping
from pathlib import Path

ETC = Path(__file__).parents[2] / "config/etc"


def text(name: str, replacements: Mapping[str, str]) -> str:
    """Return config/etc/*name* with every key of *replacements* replaced by its value."""
    found = (ETC / name).read_text(encoding="utf-8")
    for old, new in replacements.items():
        if old not in found:
            raise LookupError(f"config/etc/{name} no longer contains {old!r}")
        found = found.replace(old, new)
    return found
