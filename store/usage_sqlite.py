"""The counters in SQLite: read, decide, write under the one write lock.

``BEGIN IMMEDIATE`` makes processes take turns, and time is taken after it, so
turns and times have the same order. Rows once read are kept in memory and not
read again while ``PRAGMA data_version`` says that nobody else has written: with
one policyd a batch is writes only.

Statements go straight to the sqlite3 module: through SQLAlchemy a batch of 50
takes 1.7 times as long.
"""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import cast

from sqlalchemy import PoolProxiedConnection

from store.engine import Store, translated
from store.usage import Usage
from store.window import Charge, Key, Verdict, Window, Word, keys_of, refusals, settle_all, slot_of

# Some 400 bytes each: 40 MB at most; a campus has fewer clients in a day.
MAX_CACHED = 100_000
_CLAIM = "INSERT OR IGNORE INTO answer (id, at, action) VALUES (?, ?, '')"
_TOLD = "SELECT action FROM answer WHERE id = ?"
_REFUSED = "UPDATE answer SET action = ?2 WHERE id = ?1"
_READ = "SELECT rowid, slot, used, past, refused FROM usage WHERE subject = ? AND span = ?"
_INSERT = (
    "INSERT INTO usage (subject, span, slot, used, past, refused, until)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_MOVE = "UPDATE usage SET slot = ?, used = ?, past = ?, refused = ?, until = ? WHERE rowid = ?"
_COUNT = "UPDATE usage SET used = ?, refused = ? WHERE rowid = ?"


class SqliteUsage(Usage):
    """`store.usage.Usage` in a file."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pooled: PoolProxiedConnection | None = None
        self._cache: dict[Key, Window] = {}
        self._version: int | None = None  # PRAGMA data_version that the cache is true for

    def charge(self, batch: Sequence[Charge], word: Word) -> list[Verdict]:
        """Settle *batch* in one transaction."""
        with translated():
            connection = self._connection()
            try:
                connection.execute("BEGIN IMMEDIATE")
                verdicts = self._settle(connection, batch, word)
                connection.execute("COMMIT")
            except BaseException:
                self._abandon(connection)
                raise
        return verdicts

    def close(self) -> None:
        """Give the connection back."""
        self._cache.clear()
        if self._pooled is not None:
            self._pooled.close()
            self._pooled = None

    def _connection(self) -> sqlite3.Connection:
        if self._pooled is None:
            self._pooled = self._store.engine.raw_connection()
            self._version = None
        return cast("sqlite3.Connection", self._pooled.driver_connection)

    def _abandon(self, connection: sqlite3.Connection) -> None:
        """Leave nothing of a failed transaction, neither there nor in memory."""
        self._cache.clear()
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:  # the connection is of no use any more
            if self._pooled is not None:
                self._pooled.invalidate()
                self._pooled = None

    def _settle(
        self, connection: sqlite3.Connection, batch: Sequence[Charge], word: Word
    ) -> list[Verdict]:
        now = time.time()
        told = _claim(connection, batch, int(now))
        windows = self._windows(connection, keys_of(batch), now)
        verdicts = settle_all(batch, windows, told=told, now=now, word=word)
        _save(connection, windows)
        refused = refusals(batch, verdicts)
        if refused:
            connection.executemany(_REFUSED, refused)
        return verdicts

    def _windows(
        self, connection: sqlite3.Connection, keys: Iterable[Key], now: float
    ) -> dict[Key, Window]:
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version != self._version or len(self._cache) > MAX_CACHED:
            self._cache.clear()
            self._version = version
        found = {}
        for key in keys:
            window = self._cache.get(key)
            if window is None:
                window = self._cache[key] = _read(connection, key, now)
            window.advance(now)
            found[key] = window
        return found


def _claim(connection: sqlite3.Connection, batch: Sequence[Charge], at: int) -> dict[int, str]:
    """Take the ids of *batch*; return what those that were taken before have been told."""
    ids = sorted({charge.id for charge in batch if charge.id is not None})
    if not ids:
        return {}
    taken = connection.executemany(_CLAIM, [(each, at) for each in ids]).rowcount
    if taken == len(ids):
        return {}
    # Repeats are rare: only now it pays to ask which. Undo, ask, take the others.
    connection.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")
    told = {}
    for each in ids:
        row = connection.execute(_TOLD, (each,)).fetchone()
        if row is not None:
            told[each] = row[0]
    connection.executemany(_CLAIM, [(each, at) for each in ids if each not in told])
    return told


def _read(connection: sqlite3.Connection, key: Key, now: float) -> Window:
    row = connection.execute(_READ, key).fetchone()
    span = key[1]
    if row is None:
        return Window(span, slot_of(now, span))
    place, slot, used, past, refused = row
    window = Window(span, slot, used=used, past=past, refused=refused)
    window.row = place
    return window


def _save(connection: sqlite3.Connection, windows: dict[Key, Window]) -> None:
    counts, moves = [], []
    for (subject, span), w in windows.items():
        if w.row is None:
            row = (subject, span, w.slot, w.used, w.past, w.refused, w.until)
            w.row = connection.execute(_INSERT, row).lastrowid
        elif w.moved:
            moves.append((w.slot, w.used, w.past, w.refused, w.until, w.row))
        else:
            counts.append((w.used, w.refused, w.row))
        w.moved = False
    if moves:
        connection.executemany(_MOVE, moves)
    if counts:
        # `until` stays, so its index is not touched.
        connection.executemany(_COUNT, counts)
