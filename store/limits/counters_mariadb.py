"""The counters in MariaDB: lock the batch's rows in order, decide, write.

Missing rows are inserted first, so that locking never waits for a gap. InnoDB may still report a
deadlock; it has then rolled one transaction back, which is run again.

"Now" is the database's time once all rows are locked: the clocks of the machines need not agree.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from store.engine import MARIADB_NOW, Store, translated
from store.limits.counters import ANSWER_SECONDS, EXPIRY_ROWS, Deleted, pack_charges
from store.limits.counters_server import ServerCounters
from store.limits.window import Charge, ChargeResult, Key, RefusalText, Window, slot_of

T = TypeVar("T")
# The victim of a deadlock fails at once; more than a few in a row are another problem.
MAX_TRIES = 5
# Windows deleted in one transaction: 100 take 2 ms, 500 take 24 ms (answers: 6 ms).
EXPIRY_WINDOWS = 100
_DEADLOCK = 1213  # ER_LOCK_DEADLOCK
_SAVE = (
    "INSERT INTO `usage` (subject, span, slot, used, past, refused, until)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s)"
    " ON DUPLICATE KEY UPDATE slot = VALUES(slot), used = VALUES(used), past = VALUES(past),"
    " refused = VALUES(refused), until = VALUES(until)"
)
# Updates existing rows: PyMySQL makes one statement of many rows for INSERT only.
_REWORD = (
    "INSERT INTO answer (id, at, action) VALUES (%s, 0, %s)"
    " ON DUPLICATE KEY UPDATE action = VALUES(action)"
)
_CHARGED = (
    "INSERT INTO batch (at, messages, refused, queues, charges) VALUES (%s, '', '{}', %s, %s)"
)
# Returns the time as well, which saves a query.
_HOPED = (
    "INSERT INTO batch (at, messages, refused, queues, charges)"  # noqa: S608 - constants
    f" VALUES (floor(({MARIADB_NOW})), '', '{{}}', %s, %s) RETURNING id, ({MARIADB_NOW})"
)
_RECHARGED = "UPDATE batch SET queues = %s, charges = %s WHERE id = %s"
_DELETE_ANSWERS = "DELETE FROM answer WHERE at <= %s ORDER BY at LIMIT %s"
_EMPTY = "SELECT subject, span FROM `usage` WHERE until BETWEEN 1 AND %s ORDER BY until LIMIT %s"


class MariaCounters(ServerCounters):
    """The counters in a shared MariaDB."""

    _probe_sql = "REPLACE INTO answer (id, at, action) VALUES (%s, %s, '')"

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._hoped: Sequence[Charge] = ()  # charges that may be accepted; `_noted` is their row
        self._noted: int | None = None

    _find = (
        "SELECT id, at, queues, charges FROM batch WHERE id > ? AND instr(queues, ?) > 0"
        " ORDER BY id DESC FOR UPDATE"
    )

    def _run(self, work: Callable[[Connection], T]) -> T:
        with translated():
            for _ in range(MAX_TRIES - 1):
                try:
                    return self._once(work)
                except OperationalError as error:
                    if error.orig is None or error.orig.args[:1] != (_DEADLOCK,):
                        raise
            return self._once(work)

    def _once(self, work: Callable[[Connection], T]) -> T:
        self._noted = None
        return super()._once(work)

    def _connect(self) -> Connection:
        # Locks existing rows, no gaps.
        return super()._connect().execution_options(isolation_level="READ COMMITTED")

    def _settle(
        self, tx: Connection, batch: Sequence[Charge], text: RefusalText
    ) -> list[ChargeResult]:
        self._hoped = [charge for charge in batch if charge.queue is not None]
        try:
            return super()._settle(tx, batch, text)
        finally:
            self._hoped = ()

    def _note_hoped(self, tx: Connection) -> float:
        """Note the charges that may be refunded, as if all were accepted; return the time."""
        self._noted, now = tx.exec_driver_sql(_HOPED, pack_charges(self._hoped)).one()
        return float(now)

    def _now(self, tx: Connection) -> float:
        return float(tx.exec_driver_sql(MARIADB_NOW).scalar_one())

    def _claim(self, tx: Connection, ids: Sequence[int], at: int) -> dict[int, str]:
        if not ids:
            return {}
        rows = ",".join(["(%s, %s, '')"] * len(ids))
        taken = tx.exec_driver_sql(
            f"INSERT IGNORE INTO answer (id, at, action) VALUES {rows} RETURNING id",  # noqa: S608
            tuple(value for each in ids for value in (each, at)),
        ).scalars()
        others = sorted(set(ids).difference(taken))
        if not others:
            return {}
        marks = ",".join(["%s"] * len(others))
        found = tx.exec_driver_sql(
            f"SELECT id, action FROM answer WHERE id IN ({marks})",  # noqa: S608 - only marks
            tuple(others),
        )
        return {row[0]: row[1] for row in found}

    def _lock(self, tx: Connection, keys: Sequence[Key], now: float) -> dict[Key, Window]:
        if not keys:
            return {}
        windows = _lock_rows(tx, keys)
        missing = [key for key in keys if key not in windows]
        if missing:
            rows = ",".join(["(%s, %s, %s, 0, '', 0, 0)"] * len(missing))
            tx.exec_driver_sql(
                "INSERT IGNORE INTO `usage` (subject, span, slot, used, past, refused, until)"  # noqa: S608
                f" VALUES {rows}",
                tuple(part for key in missing for part in (*key, slot_of(now, key[1]))),
            )
            windows = _lock_rows(tx, keys)
        self._at = self._note_hoped(tx) if self._hoped else self._now(tx)
        for window in windows.values():
            window.advance(self._at)
        self._locked = windows
        return windows

    def _save(self, tx: Connection, windows: Mapping[Key, Window]) -> None:
        if windows:
            tx.exec_driver_sql(
                _SAVE,
                [(*key, w.slot, w.used, w.past, w.refused, w.until) for key, w in windows.items()],
            )

    def _note(
        self, tx: Connection, fresh: Sequence[int], replies: Sequence[tuple[int, str]]
    ) -> None:
        del fresh  # recorded when they were claimed
        if self._noted is None:
            if self._charged:
                owed = pack_charges(self._charged, self._when)
                tx.exec_driver_sql(_CHARGED, (int(self._at), *owed))
        elif len(self._charged) < len(self._hoped):
            tx.exec_driver_sql(_RECHARGED, (*pack_charges(self._charged), self._noted))
        if replies:
            tx.exec_driver_sql(_REWORD, list(replies))

    def _delete_expired(self, tx: Connection, now: int) -> Deleted:
        answers = tx.exec_driver_sql(_DELETE_ANSWERS, (now - ANSWER_SECONDS, EXPIRY_ROWS)).rowcount
        batches = self._delete_old_batches(tx, now)
        empty = sorted(tuple(row) for row in tx.exec_driver_sql(_EMPTY, (now, EXPIRY_WINDOWS)))
        if empty:
            # In the order of locking, and only if still expired: one may have been used meanwhile.
            marks = ",".join(["(%s, %s)"] * len(empty))
            tx.exec_driver_sql(
                f"DELETE FROM `usage` WHERE (subject, span) IN ({marks}) AND until <= %s",  # noqa: S608
                (*(part for key in empty for part in key), now),
            )
        return Deleted(len(empty), answers, batches)


def _lock_rows(connection: Connection, keys: Sequence[Key]) -> dict[Key, Window]:
    marks = ",".join(["(%s, %s)"] * len(keys))
    query = (
        "SELECT subject, span, slot, used, past, refused FROM `usage`"  # noqa: S608 - only marks
        f" WHERE (subject, span) IN ({marks}) ORDER BY subject, span FOR UPDATE"
    )
    rows = connection.exec_driver_sql(query, tuple(part for key in keys for part in key))
    return {cast("Key", (row[0], row[1])): _window(row) for row in rows}


def _window(row: Sequence[object]) -> Window:
    _, span, slot, used, past, refused = cast("tuple[str, int, int, int, bytes, int]", tuple(row))
    return Window(span, slot, used=used, past=past, refused=refused)
