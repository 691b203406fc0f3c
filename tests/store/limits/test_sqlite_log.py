"""The log of counts on SQLite: counts that `usage` lacks are never lost or wrong."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from store import schema
from store.engine import Store
from store.limits.counters import ANSWER_SECONDS
from store.limits.counters_sqlite import SqliteCounters
from store.limits.report import report
from store.limits.window import Charge, ChargeResult, Limit, Window, slot_of

HOUR = 3600
START = 1_800_000_000.0
SUBJECTS = [f"client 192.0.2.{n}" for n in range(4)]


class Clocked(SqliteCounters):
    """Counters whose clock is set by the test; all of them have the same."""

    clock = START

    def _now(self, tx: sqlite3.Connection) -> float:
        del tx
        return Clocked.clock

    def killed(self) -> None:
        """End as SIGKILL would: nothing more is written."""
        self._ahead.clear()
        self.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path}/gatepost.db")
    schema.upgrade(made)
    yield made
    made.close()


@pytest.fixture
def never_folding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.limits.counters_sqlite.FOLD_SECONDS", 1e9)


def refusal_text(charge: Charge, result: ChargeResult, now: float) -> str:
    return f"450 {charge.amount} {result.used} {now}"


def charge(
    usage: SqliteCounters, subject: str, amount: int = 1, limit: int = 10**6
) -> ChargeResult:
    return usage.charge([Charge(None, amount, (Limit(subject, HOUR, limit),))], refusal_text)[0]


def written(store: Store, subject: str) -> int:
    """Return the count in the row itself."""
    with store.connection() as connection:
        found = connection.execute(
            text("SELECT used FROM usage WHERE subject = :subject"), {"subject": subject}
        )
        return int(found.scalar_one())


@pytest.mark.usefixtures("never_folding")
def test_a_killed_process_loses_no_answered_charge(store: Store) -> None:
    usage = SqliteCounters(store)
    for _ in range(5):
        charge(usage, SUBJECTS[0])
    assert written(store, SUBJECTS[0]) == 1  # or this test proves nothing
    usage._ahead.clear()  # what a killed process would not write
    usage.close()
    assert [used.used for used in report(store)] == [5]
    after = SqliteCounters(store)
    assert charge(after, SUBJECTS[0]).used == 6
    after.close()
    assert written(store, SUBJECTS[0]) == 6


@pytest.mark.usefixtures("never_folding")
def test_refusals_are_in_the_log_too(store: Store) -> None:
    usage = SqliteCounters(store)
    for _ in range(3):
        charge(usage, SUBJECTS[0], 2, limit=2)
    assert [(used.used, used.refused) for used in report(store)] == [(2, 4)]
    usage.close()


def test_a_reused_row_id_starts_from_zero(store: Store) -> None:
    usage = SqliteCounters(store)
    charge(usage, SUBJECTS[0], 5)
    charge(usage, SUBJECTS[0], 5)
    with store.changing() as session:
        session.execute(text("DELETE FROM usage"))
    assert charge(usage, SUBJECTS[1]).used == 1
    assert charge(usage, SUBJECTS[0]).used == 1
    other = SqliteCounters(store)
    assert charge(other, SUBJECTS[1]).used == 2
    other.close()
    usage.close()
    assert sorted(used.used for used in report(store)) == [1, 2]


@pytest.mark.parametrize("ahead", [0, 86_400, 365 * 86_400])
def test_batches_from_a_clock_ahead_do_not_block_deletion(store: Store, ahead: int) -> None:
    usage = SqliteCounters(store)
    for _ in range(5):
        charge(usage, SUBJECTS[0])
    with store.changing() as session:
        session.execute(text("UPDATE batch SET at = at + :ahead"), {"ahead": ahead})
        session.execute(text("UPDATE batch SET at = 1 WHERE id > 2"))
    for _ in range(3):
        usage.delete_expired()
    with store.connection() as connection:
        left = connection.execute(text("SELECT count(*) FROM batch WHERE at = 1")).scalar_one()
    assert left <= 1 + 2 * (ahead < ANSWER_SECONDS)  # the last one numbers the next
    assert [used.used for used in report(store)] == [5]
    usage.close()


OPERATION = st.tuples(
    st.sampled_from(["charge", "charge", "charge", "kill", "close", "fold", "forget", "wait"]),
    st.integers(0, 1),  # by which process
    st.lists(st.tuples(st.sampled_from(SUBJECTS), st.integers(0, 5)), min_size=1, max_size=4),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(operations=st.lists(OPERATION, max_size=25))
def test_two_processes_killed_at_any_time_lose_no_count(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    operations: list[tuple[str, int, list[tuple[str, int]]]],
) -> None:
    monkeypatch.setattr("store.limits.counters_sqlite.FOLD_SECONDS", 1e9)
    monkeypatch.setattr("store.limits.counters_sqlite.MAX_AHEAD", 3)
    (tmp_path / "gatepost.db").unlink(missing_ok=True)
    store = Store(f"sqlite:///{tmp_path}/gatepost.db")
    schema.upgrade(store)
    Clocked.clock = START
    truth: dict[str, Window] = {}
    processes = [Clocked(store), Clocked(store)]
    for what, which, amounts in operations:
        usage = processes[which]
        if what == "charge":
            limits = [(Limit(subject, HOUR, 12), amount) for subject, amount in amounts]
            got = usage.charge(
                [Charge(None, amount, (each,)) for each, amount in limits], refusal_text
            )
            assert [v.accepted for v in got] == [_settled(truth, *each) for each in limits]
        elif what in ("kill", "close"):
            usage.killed() if what == "kill" else usage.close()
            processes[which] = Clocked(store)
        elif what == "fold":
            usage._fold_at = 0.0
        elif what == "forget":
            usage.delete_expired()
        else:
            Clocked.clock += 61 * amounts[0][1]
    for usage in processes:
        usage.close()
    seen = {used.subject: used.used for used in report(store, now=int(Clocked.clock))}
    assert seen == {subject: total for subject, total in _totals(truth).items() if total}
    store.close()


def _settled(truth: dict[str, Window], limit: Limit, amount: int) -> bool:
    window = truth.setdefault(limit.subject, Window(HOUR, slot_of(Clocked.clock, HOUR)))
    window.advance(Clocked.clock)
    fits = window.total + amount <= limit.limit
    window.used += amount if fits else 0
    return fits


def _totals(truth: dict[str, Window]) -> dict[str, int]:
    for window in truth.values():
        window.advance(Clocked.clock)
    return {subject: window.total for subject, window in truth.items()}
