"""What is given back: a message that was charged and never accepted. Without the ORM.

Whoever learns of it (the milter) only writes down the message's name; policyd, which
alone changes the counters, looks for the charge and takes it back once
(`store.limits.counters.Usage.give_back`).
"""

import time
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from sqlalchemy import text

from store.engine import MARIADB_NOW, Store

NAME_BYTES = 8
_NOW = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "mysql": MARIADB_NOW,
    "mariadb": MARIADB_NOW,
}
_ASK = text("INSERT INTO give_back (queue, began, at, looked) VALUES (:queue, :began, :at, 0)")


class Dropped(NamedTuple):
    """A message that was not accepted; times are monotonic."""

    queue: bytes
    began: float
    at: float


def name_of(queue_id: str, client: str) -> bytes:
    """Return the `NAME_BYTES` that name a message: its queue id, and the client's address.

    Short queue ids come again within minutes, and two machines may have the same.
    """
    name = f"{queue_id}\n{client}".encode("utf-8", "surrogateescape")
    return blake2b(name, digest_size=NAME_BYTES).digest()


def number_of(name: bytes) -> int:
    """Return *name* as the table has it."""
    return int.from_bytes(name, "big", signed=True)


def name_from(number: int) -> bytes:
    """Return the name that the table has as *number*."""
    return number.to_bytes(NAME_BYTES, "big", signed=True)


def ask(store: Store, dropped: Sequence[Dropped]) -> None:
    """Have *dropped* messages given back. Raises `StoreUnavailable`."""
    with store.connection() as connection:
        asked = _NOW.get(store.dialect)
        now = time.time() if asked is None else float(connection.scalar(text(asked)) or 0)
        ahead = now - time.monotonic()
        rows = [
            {
                "queue": number_of(each.queue),
                "began": int(each.began + ahead),
                "at": int(each.at + ahead),
            }
            for each in dropped
        ]
        connection.execute(_ASK, rows)
        connection.commit()
