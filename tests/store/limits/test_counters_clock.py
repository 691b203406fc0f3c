"""Clocks are set forward and back under the counters of every database (check 8)."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from store import schema
from store.engine import Store
from store.limits import counters_postgresql, counters_sqlite
from store.limits.counters import Counters
from store.limits.counters_mariadb import MariaCounters
from store.limits.counters_postgresql import PostgresCounters
from store.limits.counters_sqlite import SqliteCounters
from store.limits.window import Charge, ChargeResult, Limit, keys_of
from tests.store.conftest import SERVERS
from tests.store.limits.test_window import Ledger, Turn, charges, four, limits_of_four, turns

T = TypeVar("T")
START = 1_800_000_000.0
HOUR = 3600
LIMIT = 10
_ids = count(1)


class Clocked(SqliteCounters):
    """Counters whose machine has a clock that can be set."""

    clock = START

    def _now(self, tx: sqlite3.Connection) -> float:
        del tx
        return self.clock


@pytest.fixture
def url(tmp_path: Path) -> str:
    made = f"sqlite:///{tmp_path}/gatepost.db"
    store = Store(made)
    schema.upgrade(store)
    store.close()
    return made


def refusal_text(charge: Charge, result: ChargeResult, now: float) -> str:
    return f"450 {charge.amount} {result.used} {now}"


def fill(usage: SqliteCounters, subject: str) -> int:
    """Ask until refused; return how many were accepted."""
    rate = Limit(subject, HOUR, LIMIT)
    accepted = 0
    while usage.charge([Charge(next(_ids), 1, (rate,))], refusal_text)[0].accepted:
        accepted += 1
    return accepted


@pytest.mark.parametrize("step", [3600, -3600, -86400, 86400, -1, -30, 0.5])
def test_a_clock_step_grants_and_blocks_at_most_one_window(url: str, step: float) -> None:
    store = Store(url)
    usage = Clocked(store)
    assert fill(usage, "client a") == LIMIT
    usage.clock += step
    assert fill(usage, "client a") <= LIMIT
    blocked_from = usage.clock
    usage.clock = blocked_from + HOUR + 2 * 60 + 5
    assert fill(usage, "client a") == LIMIT
    usage.close()
    store.close()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.one_of(st.floats(0, 1800), st.sampled_from([3600.0, -3600.0, -86400.0, 7200.0])),
        max_size=12,
    ),
    restarts=st.booleans(),
)
def test_steps_and_restarts_grant_at_most_one_window_each(
    url: str, steps: list[float], *, restarts: bool
) -> None:
    store = Store(url)
    usage = Clocked(store)
    subject = f"client {next(_ids)}"
    fill(usage, subject)
    granted = elapsed = 0.0
    jumps = 0
    for step in steps:
        usage.clock += step
        elapsed += step if 0 <= step <= 1800 else 0
        jumps += step > 1800
        granted += fill(usage, subject)
        if restarts:
            clock = usage.clock
            usage.close()
            usage = Clocked(store)
            usage.clock = clock
    # A window for every hour that passed, and one for every jump forward.
    assert granted <= LIMIT * (elapsed // HOUR + 1 + jumps)
    usage.close()
    store.close()


class Clock:
    """Stands in for the module `time`."""

    now = START

    def time(self) -> float:
        return self.now

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class ClockedMaria(MariaCounters):
    """Counters on a MariaDB whose clock can be set."""

    clock = Clock()

    def _now(self, tx: Connection) -> float:
        del tx
        return self.clock.now


class ClockedPostgres(PostgresCounters):
    """Counters on a PostgreSQL whose clock is a setting of the session (`database`)."""

    clock = Clock()

    def _run(self, work: Callable[[Connection], T]) -> T:
        def timed(tx: Connection) -> T:
            tx.exec_driver_sql("SELECT set_config('t.now', %s, false)", (repr(self.clock.now),))
            return work(tx)

        return super()._run(timed)


@dataclass(frozen=True)
class Database:
    """Counters that can be opened anew, as by a new process, and their clock."""

    open: Callable[[], Counters[Any]]
    clock: Clock


@pytest.fixture(params=["sqlite", *SERVERS])
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/gatepost.db"
    else:
        url = request.getfixturevalue(request.param).fresh_database(f"clock{next(_ids)}")
    store, clock = Store(url), Clock()
    schema.upgrade(store)
    monkeypatch.setattr(counters_sqlite, "time", clock)
    monkeypatch.setattr(ClockedMaria, "clock", clock)
    monkeypatch.setattr(ClockedPostgres, "clock", clock)
    now, setting = counters_postgresql._NOW, "current_setting('t.now')::float8"
    for name in ("_CHARGE", "_NOW"):
        text = getattr(counters_postgresql, name)
        monkeypatch.setattr(counters_postgresql, name, text.replace(now, setting))
    kinds: dict[str, type[Counters[Any]]] = {
        "sqlite": SqliteCounters, "postgresql": ClockedPostgres, "mariadb": ClockedMaria,
    }  # fmt: skip
    yield Database(lambda: kinds[store.dialect](store), clock)
    store.close()


@settings(
    phases=[Phase.generate],  # each example leaves rows, so none can be repeated
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(most=limits_of_four, steps=turns)
def test_every_database_counts_like_a_ledger_over_steps_and_restarts(
    database: Database, most: tuple[int, ...], steps: list[Turn]
) -> None:
    ledger, limits = Ledger(), four(most, next(_ids))
    usage, database.clock.now = database.open(), START
    try:
        for turn in steps:
            database.clock.now += turn.step
            batch = charges(turn, limits, _ids)
            for again in range(1 + turn.repeated):
                if again:
                    usage.close()
                    usage = database.open()
                results = usage.charge(batch, refusal_text)
                assert [v.accepted for v in results] == ledger.settle(batch, database.clock.now)
                for key in keys_of(batch):
                    window = usage.seen[key]
                    assert (window.total, window.slot) == (ledger.held(key), ledger.slots[key])
    finally:
        usage.close()
