"""The common part of the counters in PostgreSQL and MariaDB: one connection, kept open."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from sqlalchemy import Connection

from store.engine import Store, translated
from store.limits.counters import PROBE_ID, Counters
from store.limits.window import Key, Window

T = TypeVar("T")


class ServerCounters(Counters[Connection]):
    """`store.limits.counters.Counters` in a database that several machines share."""

    _probe_sql: ClassVar[str]
    _skip = " FOR UPDATE SKIP LOCKED"

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._kept: Connection | None = None
        self._locked: dict[Key, Window] = {}
        self._at = 0.0  # Unix time of the transaction, as the database has it

    def close(self) -> None:
        """Release the connection."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _connect(self) -> Connection:
        return self._store.engine.connect()

    def _sql(self, tx: Connection, query: str, values: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        done = tx.exec_driver_sql(query.replace("?", "%s"), values)
        return done.fetchall() if done.returns_rows else ()

    def _run(self, work: Callable[[Connection], T]) -> T:
        with translated():
            return self._once(work)

    def _once(self, work: Callable[[Connection], T]) -> T:
        if self._kept is None:
            self._kept = self._connect()
        connection = self._kept
        self._locked, self._charged = {}, ()
        try:
            result = work(connection)
            connection.commit()
        except BaseException:
            # In whatever state: closing rolls back, and the pool tests before reuse.
            self._kept = None
            connection.invalidate()
            connection.close()
            raise
        if self._locked:
            self._saw(self._locked, self._at)
        return result

    def _probe(self, tx: Connection, now: int) -> None:
        tx.exec_driver_sql(self._probe_sql, (PROBE_ID, now))
