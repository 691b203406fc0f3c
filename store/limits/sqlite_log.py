"""The append-only log of charges that SQLite counters fold into `usage`."""

import json
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from sqlalchemy import Connection

from store.limits.counters import ANSWER_SECONDS
from store.limits.window import MAX_COUNT

# By row of `usage`: its new counts, ``None`` if the row itself was written.
_Changes: TypeAlias = dict[int, int | None]
# One number for `used` and `refused`, which have 31 bits each (store.limits.window.MAX_COUNT).
_REFUSED_BITS = 31
# Messages in memory, some 150 bytes each: ten minutes at 800 a second. At 20,000 a second still
# 25 s, and Postfix repeats after one.
MAX_RECENT = 500_000
# The newest rows, which no process has folded yet.
_UNFOLDED = (
    "SELECT counts FROM batch WHERE id > coalesce("
    "(SELECT id FROM batch WHERE counts IS NULL ORDER BY id DESC LIMIT 1), 0) ORDER BY id"
)


def ahead(connection: Connection) -> dict[int, int]:
    """Return the rows of `usage` that lag the log, and their counts (see `unpack_counts`)."""
    found: dict[int, int] = {}
    for (counts,) in connection.exec_driver_sql(_UNFOLDED):
        _replay(found, counts)
    return found


def unpack_counts(counts: int) -> tuple[int, int]:
    """Return the numbers used and refused."""
    return counts >> _REFUSED_BITS, counts & MAX_COUNT


def _replay(behind: dict[int, int], counts: str | None) -> None:
    """Apply one row of the log: new counts, or (``None``) that all so far are in `usage`."""
    if counts is None:
        behind.clear()
    else:
        _follow(behind, {int(row): each for row, each in json.loads(counts).items()})


def _follow(behind: dict[int, int], changes: _Changes) -> None:
    for row, counts in changes.items():
        if counts is None:
            behind.pop(row, None)
        else:
            behind[row] = counts


class RecentAnswers:
    """The replies that all processes gave to the messages of the last minutes."""

    def __init__(self) -> None:
        self.replies: dict[int, str] = {}
        self.last = 0  # the last batch in it
        self._batches: deque[tuple[int, Sequence[int]]] = deque()

    def add(self, row: int, at: int, messages: Sequence[int], refused: Mapping[int, str]) -> None:
        """Take the batch in *row*."""
        self.last = row
        self.replies.update(dict.fromkeys(messages, ""))
        self.replies.update(refused)
        self._batches.append((at, messages))

    def forget(self, now: int) -> None:
        """Drop replies too old to be repeated, and the oldest beyond `MAX_RECENT`."""
        batches = self._batches
        while batches and (
            abs(batches[0][0] - now) >= ANSWER_SECONDS or len(self.replies) > MAX_RECENT
        ):
            for each in batches.popleft()[1]:
                self.replies.pop(each, None)


def _pack(messages: Sequence[int]) -> bytes:
    return struct.pack(f">{len(messages)}q", *messages)


def _unpack(messages: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(messages) // 8}q", messages)
