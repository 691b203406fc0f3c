"""The counters in MariaDB: lock the batch's rows in order, decide, write.

Rows that are missing are made first, so that locking never waits on a gap. InnoDB
may still see a deadlock where none is; it then undoes one transaction whole, and
that one is run again.

"Now" is the database's, taken once all rows are locked: machines need not agree.
"""

from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from store.engine import Store, translated
from store.usage import Usage
from store.window import Charge, Key, Verdict, Window, Word, keys_of, refusals, settle_all, slot_of

# A deadlock's victim is undone at once; more than a few in a row is another trouble.
MAX_TRIES = 5
_DEADLOCK = 1213  # ER_LOCK_DEADLOCK
# Not unix_timestamp(sysdate()): it is an hour off while summer time ends.
_NOW = "SELECT timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)) / 1e6"
_REFUSED = "UPDATE answer SET action = %s WHERE id = %s"
_SAVE = (
    "INSERT INTO `usage` (subject, span, slot, used, past, refused, until)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s)"
    " ON DUPLICATE KEY UPDATE slot = VALUES(slot), used = VALUES(used), past = VALUES(past),"
    " refused = VALUES(refused), until = VALUES(until)"
)


class MariaUsage(Usage):
    """`store.usage.Usage` on a shared MariaDB."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: Connection | None = None

    def charge(self, batch: Sequence[Charge], word: Word) -> list[Verdict]:
        """Settle *batch* in one transaction, again if InnoDB chose it as a victim."""
        with translated():
            for _ in range(MAX_TRIES - 1):
                try:
                    return self._once(batch, word)
                except OperationalError as error:
                    if error.orig is None or error.orig.args[:1] != (_DEADLOCK,):
                        raise
            return self._once(batch, word)

    def close(self) -> None:
        """Give the connection back."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _once(self, batch: Sequence[Charge], word: Word) -> list[Verdict]:
        if self._kept is None:
            # Locks on what is there, none on what is not.
            self._kept = self._store.engine.connect().execution_options(
                isolation_level="READ COMMITTED"
            )
        connection = self._kept
        try:
            verdicts = _settle(connection, batch, word)
            connection.commit()
        except BaseException:
            self._kept = None
            connection.invalidate()
            connection.close()
            raise
        return verdicts


def _settle(connection: Connection, batch: Sequence[Charge], word: Word) -> list[Verdict]:
    now = _now(connection)
    told = _claim(connection, batch, int(now))
    keys = keys_of(batch)
    windows = _lock(connection, keys, now)
    now = _now(connection)
    for window in windows.values():
        window.advance(now)
    verdicts = settle_all(batch, windows, told=told, now=now, word=word)
    connection.exec_driver_sql(
        _SAVE,
        [(*key, w.slot, w.used, w.past, w.refused, w.until) for key, w in windows.items()],
    )
    refused = refusals(batch, verdicts)
    if refused:
        connection.exec_driver_sql(_REFUSED, [(said, each) for each, said in refused])
    return verdicts


def _now(connection: Connection) -> float:
    return float(connection.exec_driver_sql(_NOW).scalar_one())


def _claim(connection: Connection, batch: Sequence[Charge], at: int) -> dict[int, str]:
    """Take the ids of *batch*; return what those that were taken before have been told."""
    ids = sorted({charge.id for charge in batch if charge.id is not None})
    if not ids:
        return {}
    rows = ",".join(["(%s, %s, '')"] * len(ids))
    taken = connection.exec_driver_sql(
        f"INSERT IGNORE INTO answer (id, at, action) VALUES {rows} RETURNING id",  # noqa: S608
        tuple(value for each in ids for value in (each, at)),
    ).scalars()
    others = sorted(set(ids).difference(taken))
    if not others:
        return {}
    marks = ",".join(["%s"] * len(others))
    found = connection.exec_driver_sql(
        f"SELECT id, action FROM answer WHERE id IN ({marks})",  # noqa: S608 - only marks
        tuple(others),
    )
    return {row[0]: row[1] for row in found}


def _lock(connection: Connection, keys: Sequence[Key], now: float) -> dict[Key, Window]:
    marks = ",".join(["(%s, %s)"] * len(keys))
    named = tuple(part for key in keys for part in key)
    query = (
        "SELECT subject, span, slot, used, past, refused FROM `usage`"  # noqa: S608 - only marks
        f" WHERE (subject, span) IN ({marks}) ORDER BY subject, span FOR UPDATE"
    )
    windows = {(r[0], r[1]): _window(r) for r in connection.exec_driver_sql(query, named)}
    missing = [key for key in keys if key not in windows]
    if missing:
        rows = ",".join(["(%s, %s, %s, 0, '', 0, 0)"] * len(missing))
        connection.exec_driver_sql(
            "INSERT IGNORE INTO `usage` (subject, span, slot, used, past, refused, until)"  # noqa: S608
            f" VALUES {rows}",
            tuple(part for key in missing for part in (*key, slot_of(now, key[1]))),
        )
        windows = {(r[0], r[1]): _window(r) for r in connection.exec_driver_sql(query, named)}
    return windows


def _window(row: Sequence[object]) -> Window:
    _, span, slot, used, past, refused = row
    return Window(span, slot, used=used, past=bytes(past), refused=refused)  # type: ignore[arg-type,call-overload]
