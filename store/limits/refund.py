"""Refund requests: messages that were charged and never accepted. Without the ORM.

The milter notices and writes the message's name to the store. policyd, which alone changes the
counters, looks for the charge and takes it back once (`store.limits.counters.Counters.refund`).
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
_REQUEST = text("INSERT INTO give_back (queue, began, at, looked) VALUES (:queue, :began, :at, 0)")


class RefundRequest(NamedTuple):
    """A message that was not accepted; times are monotonic."""

    queue: bytes
    began: float
    at: float


def name_of(queue_id: str, client: str) -> bytes:
    """Return the `NAME_BYTES` that name a message, from its queue id and the client's address.

    Short queue ids recur within minutes, and two machines may have the same.
    """
    name = f"{queue_id}\n{client}".encode("utf-8", "surrogateescape")
    return blake2b(name, digest_size=NAME_BYTES).digest()


def number_of(name: bytes) -> int:
    """Return *name* as the table stores it."""
    return int.from_bytes(name, "big", signed=True)


def name_from(number: int) -> bytes:
    """Return the name that the table stores as *number*."""
    return number.to_bytes(NAME_BYTES, "big", signed=True)


def request(store: Store, requests: Sequence[RefundRequest]) -> None:
    """Request refunds. Raises `StoreUnavailable`."""
    with store.connection() as connection:
        query = _NOW.get(store.dialect)
        now = time.time() if query is None else float(connection.scalar(text(query)) or 0)
        ahead = now - time.monotonic()
        rows = [
            {
                "queue": number_of(each.queue),
                "began": int(each.began + ahead),
                "at": int(each.at + ahead),
            }
            for each in requests
        ]
        connection.execute(_REQUEST, rows)
        connection.commit()
