"""The counters in SQLite: read, decide, write under the one write lock.

``BEGIN IMMEDIATE`` makes processes take turns. The time is taken after it, so turns and times
have the same order. Rows and recent messages stay in memory and are not read again while ``PRAGMA
data_version`` shows that no other connection has written: with one policyd, a batch only writes.

A batch appends one row to a log (table `batch`): its messages and the new counts of its windows.
Rows of `usage` are written when their window moves; their counts follow from the log every
`FOLD_SECONDS`. So a commit writes a page or two instead of one for every client; the disk is most
of the cost of a decision. Every reader of `usage` applies the log to it (`ahead`), also at start,
so a killed process loses nothing.

Statements bypass SQLAlchemy, with which a batch of 50 takes 1.7 times as long.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

from sqlalchemy import PoolProxiedConnection

from store.engine import Store, translated
from store.errors import StoreUnavailable
from store.limits.counters import (
    ANSWER_SECONDS,
    CHARGED_SECONDS,
    EXPIRY_ROWS,
    MAX_SEEN,
    Counters,
    Deleted,
    pack_charges,
)
from store.limits.sqlite_log import (
    _REFUSED_BITS,
    RecentAnswers,
    _Changes,
    _follow,
    _pack,
    _replay,
    _unpack,
    unpack_counts,
)
from store.limits.window import Key, Window, slot_of

T = TypeVar("T")
# `usage` may lag the log by this time and this many rows; folding that many takes 2 ms.
FOLD_SECONDS = 1.0
MAX_AHEAD = 1000
_BATCHES = "SELECT id, at, messages, refused, counts FROM batch WHERE id > ? ORDER BY id"
_NOTE = (
    "INSERT INTO batch (at, messages, refused, counts, queues, charges) VALUES (?, ?, ?, ?, ?, ?)"
)
# Where a starting process begins to read the log: at the first reply that may be repeated or
# count that `usage` lacks.
_NEWS = (
    "SELECT min(coalesce((SELECT id FROM batch WHERE at < ? ORDER BY id DESC LIMIT 1), 0),"
    " coalesce((SELECT id FROM batch WHERE counts IS NULL ORDER BY id DESC LIMIT 1), 0))"
)
_FOLDED = "UPDATE batch SET counts = NULL WHERE id = (SELECT max(id) FROM batch)"
# Never the last row: the next one must have a greater id than all that were read. Rows from the
# future were written while a clock was ahead; they must not keep those after them.
_DELETE_BATCHES = (
    "DELETE FROM batch WHERE id IN (SELECT id FROM batch ORDER BY id LIMIT ?)"
    " AND (at <= ? OR at > ?) AND id < (SELECT max(id) FROM batch)"
)
_READ = "SELECT rowid, slot, used, past, refused FROM usage WHERE subject = ? AND span = ?"
_INSERT = (
    "INSERT INTO usage (subject, span, slot, used, past, refused, until)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_MOVE = "UPDATE usage SET slot = ?, used = ?, past = ?, refused = ?, until = ? WHERE rowid = ?"
# One statement for all rows: sqlite3 releases the GIL for each, and getting it back from a busy
# event loop takes up to a switch interval.
_FOLD = (
    "UPDATE usage SET used = counted.value >> 31, refused = counted.value & 0x7fffffff"
    " FROM json_each(?) AS counted WHERE usage.rowid = CAST(counted.key AS INTEGER)"
)
_EMPTY = "SELECT rowid, subject, span FROM usage WHERE until <= ? ORDER BY until LIMIT ?"
_DELETE_WINDOW = "DELETE FROM usage WHERE rowid = ?"


class SqliteCounters(Counters[sqlite3.Connection]):
    """`store.limits.counters.Counters` in a file, with the `_fresh` part of `seen` as its cache."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._pooled: PoolProxiedConnection | None = None
        self._version: int | None = None  # PRAGMA data_version at which `_fresh` was true
        self._fresh: set[Key] = set()  # windows unchanged since they were last seen
        self._locked: dict[Key, Window] = {}
        self._recent = RecentAnswers()
        self._ahead: dict[int, int] = {}  # counts of the rows of `usage` that lag the log
        self._fold_at = 0.0  # monotonic
        self._changes: _Changes = {}  # of the running transaction
        self._folding = False  # whether it folds
        self._noted: tuple[int, int, Sequence[int], dict[int, str]] | None = None

    def close(self) -> None:
        """Fold the log and release the connection."""
        if self._ahead:
            with suppress(StoreUnavailable):  # the next process to start will
                self._run(self._catch_rows_up)
        if self._pooled is not None:
            self._pooled.close()
            self._pooled = None

    _find = (
        "SELECT id, at, queues, charges FROM batch WHERE id > ? AND instr(queues, ?) > 0"
        " ORDER BY id DESC"
    )

    def _sql(
        self, tx: sqlite3.Connection, query: str, values: tuple[Any, ...]
    ) -> Sequence[Sequence[Any]]:
        return tx.execute(query, values).fetchall()

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with translated():
            connection = self._connection()
            self._locked, self._changes, self._folding = {}, {}, False
            self._noted, self._charged = None, ()
            try:
                connection.execute("BEGIN IMMEDIATE")
                self._catch_up(connection)
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                self._abandon(connection)
                raise
        self._remember()
        return result

    def _remember(self) -> None:
        """Take the committed transaction over into memory."""
        self._saw(self._locked, time.time())
        self._fresh.update(self._locked)
        if self._folding:
            self._ahead.clear()
            self._fold_at = time.monotonic() + FOLD_SECONDS
        else:
            _follow(self._ahead, self._changes)
        if self._noted is not None:
            self._recent.add(*self._noted)

    def _connection(self) -> sqlite3.Connection:
        if self._pooled is None:
            self._pooled = self._store.engine.raw_connection()
            self._version = None
        return cast("sqlite3.Connection", self._pooled.driver_connection)

    def _abandon(self, connection: sqlite3.Connection) -> None:
        """Roll back a failed transaction, in memory too."""
        self._version = None
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:  # the connection is broken
            if self._pooled is not None:
                self._pooled.invalidate()
                self._pooled = None

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        """Drop windows that others may have changed and read which messages they settled."""
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._version and len(self._fresh) <= MAX_SEEN:
            return
        # `seen` stays: it is the best there is should the store fail now.
        self._fresh.clear()
        self._version = version
        if not self._recent.last:
            since = (int(time.time()) - ANSWER_SECONDS,)
            (self._recent.last,) = connection.execute(_NEWS, since).fetchone()
        for row, at, messages, refused, counts in connection.execute(
            _BATCHES, (self._recent.last,)
        ):
            replies = {int(each): action for each, action in json.loads(refused).items()}
            self._recent.add(row, at, _unpack(messages), replies)
            _replay(self._ahead, counts)

    def _now(self, tx: sqlite3.Connection) -> float:
        del tx
        return time.time()

    def _claim(self, tx: sqlite3.Connection, ids: Sequence[int], at: int) -> dict[int, str]:
        del tx
        self._recent.forget(at)
        replies = self._recent.replies
        return {each: replies[each] for each in ids if each in replies}

    def _lock(self, tx: sqlite3.Connection, keys: Sequence[Key], now: float) -> dict[Key, Window]:
        # Copies: while the disk is slow, others read `seen`, which must not hold anything
        # uncommitted.
        for key in keys:
            known = self.seen.get(key) if key in self._fresh else None
            window = self._read(tx, key, now) if known is None else known.copy()
            window.advance(now)
            self._locked[key] = window
        return self._locked

    def _save(self, tx: sqlite3.Connection, windows: Mapping[Key, Window]) -> None:
        moves = []
        for key, w in windows.items():
            if w.row is None:
                row = (*key, w.slot, w.used, w.past, w.refused, w.until)
                w.row = tx.execute(_INSERT, row).lastrowid or 0
                self._changes[w.row] = None
            elif w.moved:
                moves.append((w.slot, w.used, w.past, w.refused, w.until, w.row))
                self._changes[w.row] = None
            else:
                self._changes[w.row] = w.used << _REFUSED_BITS | w.refused
            w.moved = False
        if moves:
            tx.executemany(_MOVE, moves)
        if time.monotonic() >= self._fold_at or len(self._ahead) >= MAX_AHEAD:
            self._fold(tx)

    def _fold(self, tx: sqlite3.Connection) -> None:
        """Write the counts that `usage` lacks."""
        behind = self._ahead.copy()
        _follow(behind, self._changes)
        if behind:
            tx.execute(_FOLD, (json.dumps(behind),))
        self._folding = True

    def _catch_rows_up(self, tx: sqlite3.Connection) -> None:
        """Fold although nothing is charged."""
        if self._ahead:
            self._fold(tx)
            tx.execute(_FOLDED)

    def _note(
        self, tx: sqlite3.Connection, fresh: Sequence[int], replies: Sequence[tuple[int, str]]
    ) -> None:
        if fresh or replies or self._changes:
            at, refused = int(time.time()), dict(replies)
            counts = None if self._folding else json.dumps(self._changes)
            owed = pack_charges(self._charged, self._when)
            values = (at, _pack(fresh), json.dumps(refused), counts, *owed)
            row = tx.execute(_NOTE, values).lastrowid
            self._noted = (row or 0, at, fresh, refused)

    def _probe(self, tx: sqlite3.Connection, now: int) -> None:
        row = tx.execute(_NOTE, (now, b"", "{}", "{}", None, None)).lastrowid
        self._noted = (row or 0, now, (), {})

    def _delete_expired(self, tx: sqlite3.Connection, now: int) -> Deleted:
        self._catch_rows_up(tx)
        old = (EXPIRY_ROWS, now - CHARGED_SECONDS, now + ANSWER_SECONDS)
        batches = tx.execute(_DELETE_BATCHES, old).rowcount
        tx.execute("DELETE FROM give_back WHERE at <= ?", (now - CHARGED_SECONDS,))
        empty = tx.execute(_EMPTY, (now, EXPIRY_ROWS)).fetchall()
        for row, subject, span in empty:
            tx.execute(_DELETE_WINDOW, (row,))
            self._fresh.discard((subject, span))
        return Deleted(windows=len(empty), batches=batches)

    def _read(self, connection: sqlite3.Connection, key: Key, now: float) -> Window:
        row = connection.execute(_READ, key).fetchone()
        span = key[1]
        if row is None:
            return Window(span, slot_of(now, span))
        place, slot, used, past, refused = row
        if place in self._ahead:
            used, refused = unpack_counts(self._ahead[place])
        window = Window(span, slot, used=used, past=past, refused=refused)
        window.row = place
        return window
