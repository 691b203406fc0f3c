"""The reference: a pymilter milter that overrides every callback and does nothing."""

import sys
from typing import Any

import Milter  # noqa: TID251 - a reference of its own, no part of gatepost


class Empty(Milter.Base):
    """Answers CONTINUE to everything."""


def _nothing(*_: Any) -> int:
    return Milter.CONTINUE


for _step in (
    *("connect", "hello", "envfrom", "envrcpt", "data"),
    *("header", "eoh", "body", "unknown", "eom"),
):
    setattr(Empty, _step, _nothing)

if __name__ == "__main__":
    Milter.factory = Empty
    Milter.runmilter("empty", sys.argv[1])
