"""The append-only log of charges that SQLite counters fold into `usage`."""

import json
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from sqlalchemy import Connection

from store.limits.counters import (
    ANSWER_SECONDS,
)
from store.limits.window import MAX_COUNT

# By row of `usage`: what it counts now, ``None`` where the row itself has been written.
_Changes: TypeAlias = dict[int, int | None]
# One number for `used` and `refused`, which have 31 bits each (store.limits.window.MAX_COUNT).
_REFUSED_BITS = 31
# Messages in memory, some 150 bytes each. Ten minutes of 800 a second; of 20,000 a
# second still 25 s, when Postfix repeats after one.
MAX_RECENT = 500_000
# What a process logged and did not fold: the newest rows.
_UNFOLDED = (
    "SELECT counts FROM batch WHERE id > coalesce("
    "(SELECT id FROM batch WHERE counts IS NULL ORDER BY id DESC LIMIT 1), 0) ORDER BY id"
)


def ahead(connection: Connection) -> dict[int, int]:
    """Return the rows of `usage` that are behind the log, and what to see `counted` there."""
    found: dict[int, int] = {}
    for (counts,) in connection.exec_driver_sql(_UNFOLDED):
        _replay(found, counts)
    return found


def counted(counts: int) -> tuple[int, int]:
    """Return what is used and what was refused."""
    return counts >> _REFUSED_BITS, counts & MAX_COUNT


def _replay(behind: dict[int, int], counts: str | None) -> None:
    """Take one row of the log: what its windows count, or that `usage` holds all until here."""
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
    """What the messages of the last minutes were told, by all processes."""

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
        """Drop what is too old to be asked again, and the oldest beyond `MAX_HEARD`."""
        batches = self._batches
        while batches and (
            abs(batches[0][0] - now) >= ANSWER_SECONDS or len(self.replies) > MAX_RECENT
        ):
            for each in batches.popleft()[1]:
                self.replies.pop(each, None)


def _packed(messages: Sequence[int]) -> bytes:
    return struct.pack(f">{len(messages)}q", *messages)


def _unpacked(messages: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(messages) // 8}q", messages)
