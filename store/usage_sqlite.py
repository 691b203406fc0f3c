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
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

from sqlalchemy import PoolProxiedConnection

from store.engine import Store, translated
from store.usage import ANSWER_SECONDS, FORGET_ROWS, MAX_SEEN, Usage
from store.window import Key, Window, slot_of

T = TypeVar("T")
_CLAIM = "INSERT OR IGNORE INTO answer (id, at, action) VALUES (?, ?, '')"
_TOLD = "SELECT action FROM answer WHERE id = ?"
_REWORD = "UPDATE answer SET action = ?2 WHERE id = ?1"
_READ = "SELECT rowid, slot, used, past, refused FROM usage WHERE subject = ? AND span = ?"
_INSERT = (
    "INSERT INTO usage (subject, span, slot, used, past, refused, until)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_MOVE = "UPDATE usage SET slot = ?, used = ?, past = ?, refused = ?, until = ? WHERE rowid = ?"
_COUNT = "UPDATE usage SET used = ?, refused = ? WHERE rowid = ?"
_FORGET_ANSWERS = (
    "DELETE FROM answer WHERE id IN (SELECT id FROM answer WHERE at <= ? ORDER BY at LIMIT ?)"
)
_EMPTY = "SELECT rowid, subject, span FROM usage WHERE until <= ? ORDER BY until LIMIT ?"
_FORGET_WINDOW = "DELETE FROM usage WHERE rowid = ?"


class SqliteUsage(Usage[sqlite3.Connection]):
    """`store.usage.Usage` in a file. `seen` is also its cache."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._pooled: PoolProxiedConnection | None = None
        self._version: int | None = None  # PRAGMA data_version that `seen` is true for
        self._before: list[tuple[Window, int, int]] = []

    def close(self) -> None:
        """Give the connection back."""
        if self._pooled is not None:
            self._pooled.close()
            self._pooled = None

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with translated():
            connection = self._connection()
            self._before.clear()
            try:
                connection.execute("BEGIN IMMEDIATE")
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                self._abandon(connection)
                raise
        return result

    def _connection(self) -> sqlite3.Connection:
        if self._pooled is None:
            self._pooled = self._store.engine.raw_connection()
            self._version = None
        return cast("sqlite3.Connection", self._pooled.driver_connection)

    def _abandon(self, connection: sqlite3.Connection) -> None:
        """Leave nothing of a failed transaction, neither there nor in memory."""
        self._version = None
        for window, used, refused in self._before:
            window.used, window.refused = used, refused
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:  # the connection is of no use any more
            if self._pooled is not None:
                self._pooled.invalidate()
                self._pooled = None

    def _now(self, tx: sqlite3.Connection) -> float:
        del tx
        return time.time()

    def _claim(self, tx: sqlite3.Connection, ids: Sequence[int], at: int) -> dict[int, str]:
        if not ids:
            return {}
        taken = tx.executemany(_CLAIM, [(each, at) for each in ids]).rowcount
        if taken == len(ids):
            return {}
        # Repeats are rare: only now it pays to ask which. Undo, ask, take the others.
        tx.execute("ROLLBACK")
        tx.execute("BEGIN IMMEDIATE")
        told = {}
        for each in ids:
            row = tx.execute(_TOLD, (each,)).fetchone()
            if row is not None:
                told[each] = row[0]
        tx.executemany(_CLAIM, [(each, at) for each in ids if each not in told])
        return told

    def _lock(self, tx: sqlite3.Connection, keys: Sequence[Key], now: float) -> dict[Key, Window]:
        (version,) = tx.execute("PRAGMA data_version").fetchone()
        if version != self._version or len(self.seen) > MAX_SEEN:
            # A new one: who limits without us meanwhile keeps the old.
            self.seen = {}
            self._version = version
        found = {}
        for key in keys:
            window = self.seen.get(key)
            if window is None:
                window = self.seen[key] = _read(tx, key, now)
            window.advance(now)
            self._before.append((window, window.used, window.refused))
            found[key] = window
        return found

    def _save(self, tx: sqlite3.Connection, windows: Mapping[Key, Window]) -> None:
        counts, moves = [], []
        for (subject, span), w in windows.items():
            if w.row is None:
                row = (subject, span, w.slot, w.used, w.past, w.refused, w.until)
                w.row = tx.execute(_INSERT, row).lastrowid
            elif w.moved:
                moves.append((w.slot, w.used, w.past, w.refused, w.until, w.row))
            else:
                counts.append((w.used, w.refused, w.row))
            w.moved = False
        if moves:
            tx.executemany(_MOVE, moves)
        if counts:
            # `until` stays, so its index is not touched.
            tx.executemany(_COUNT, counts)

    def _reword(self, tx: sqlite3.Connection, said: Sequence[tuple[int, str]]) -> None:
        tx.executemany(_REWORD, said)

    def _forget(self, tx: sqlite3.Connection, now: int) -> int:
        gone = tx.execute(_FORGET_ANSWERS, (now - ANSWER_SECONDS, FORGET_ROWS)).rowcount
        empty = tx.execute(_EMPTY, (now, FORGET_ROWS)).fetchall()
        for row, subject, span in empty:
            tx.execute(_FORGET_WINDOW, (row,))
            self.seen.pop((subject, span), None)
        return gone + len(empty)


def _read(connection: sqlite3.Connection, key: Key, now: float) -> Window:
    row = connection.execute(_READ, key).fetchone()
    span = key[1]
    if row is None:
        return Window(span, slot_of(now, span))
    place, slot, used, past, refused = row
    window = Window(span, slot, used=used, past=past, refused=refused)
    window.row = place
    return window
