"""Check 8: the machine's clock is set forward and back under the counters on SQLite."""

import sqlite3
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import schema
from store.engine import Store
from store.usage_sqlite import SqliteUsage
from store.window import Charge, Limit, Verdict

START = 1_800_000_000.0
HOUR = 3600
LIMIT = 10
_ids = count(1)


class Clocked(SqliteUsage):
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


def word(charge: Charge, verdict: Verdict, now: float) -> str:
    return f"450 {charge.amount} {verdict.used} {now}"


def fill(usage: SqliteUsage, subject: str) -> int:
    """Ask until refused; return how many were accepted."""
    rate = Limit(subject, HOUR, LIMIT)
    accepted = 0
    while usage.charge([Charge(next(_ids), 1, (rate,))], word)[0].accepted:
        accepted += 1
    return accepted


@pytest.mark.parametrize("step", [3600, -3600, -86400, 86400, -1, -30, 0.5])
def test_a_step_grants_one_window_at_most_and_blocks_for_one_at_most(url: str, step: float) -> None:
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
def test_over_steps_and_restarts_nobody_gets_more_than_a_window_a_step(
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
