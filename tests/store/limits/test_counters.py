"""The counters on every database: durable, exact between processes, once per message."""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest

from store import models
from store.audit import AuditContext, entries
from store.engine import Store
from store.errors import StoreUnavailable
from store.limits.counters import Counters
from store.limits.counters_sqlite import SqliteCounters
from store.limits.open import open_counters
from store.limits.reset import reset_usage
from store.limits.window import Charge, ChargeResult, Limit, LocalCharge

ALICE = Limit("account alice", 3600, 100)
CLIENT = Limit("client 192.0.2.7", 3600, 100)


@pytest.fixture(autouse=True)
def _tables(store: Store) -> None:
    """Create the tables at `url` (tests/store/conftest.py: each kind of database)."""
    del store


@contextmanager
def opened(url: str) -> Iterator[Counters[Any]]:
    store = Store(url)
    usage = open_counters(store)
    try:
        yield usage
    finally:
        usage.close()
        store.close()


def refusal_text(charge: Charge, result: ChargeResult, now: float) -> str:
    del charge, now
    assert result.limit is not None
    return f"450 {result.limit.subject} {result.used}"


def _broken(*_: object) -> str:
    raise StoreUnavailable


def test_a_batch_is_charged_until_the_limit(url: str) -> None:
    with opened(url) as usage:
        results = usage.charge([Charge(n, 30, (ALICE, CLIENT)) for n in range(1, 6)], refusal_text)
        assert [v.accepted for v in results] == [True, True, True, False, False]
        assert [v.used for v in results] == [30, 60, 90, 90, 90]
        assert results[3].action == "450 account alice 90"
        assert usage.charge([Charge(9, 10, (ALICE,))], refusal_text)[0].used == 100


def test_counts_survive_a_restart(url: str) -> None:
    with opened(url) as usage:
        usage.charge([Charge(1, 99, (ALICE,))], refusal_text)
    with opened(url) as usage:
        results = usage.charge([Charge(2, 2, (ALICE,)), Charge(3, 1, (ALICE,))], refusal_text)
    assert [v.accepted for v in results] == [False, True]


@pytest.mark.parametrize(("limit", "used"), [(100, 11), (5, 1)])
def test_a_repeat_gets_the_same_reply_from_every_process(url: str, limit: int, used: int) -> None:
    rate = Limit("account alice", 3600, limit)
    with opened(url) as first, opened(url) as second:
        said = first.charge([Charge(1, 10, (rate,)), Charge(2, 1, (rate,))], refusal_text)
        for number, usage in enumerate((second, first), start=3):
            again = usage.charge([Charge(1, 10, (rate,)), Charge(number, 0, (rate,))], refusal_text)
            assert (again[0].accepted, again[0].action) == (said[0].accepted, said[0].action)
            assert again[0].repeated
        assert first.charge([Charge(5, 0, (rate,))], refusal_text)[0].used == used


def test_a_failed_batch_charges_nothing(url: str) -> None:
    batch = [Charge(1, 60, (ALICE,)), Charge(2, 60, (ALICE,))]
    with opened(url) as usage:
        with pytest.raises(StoreUnavailable):
            usage.charge(batch, _broken)
        results = usage.charge(batch, refusal_text)
    assert [(v.accepted, v.used) for v in results] == [(True, 60), (False, 60)]


def test_local_charges_are_restored_once(url: str) -> None:
    now = time.time()
    entries = [LocalCharge(Charge(n, 10, (ALICE, CLIENT)), now) for n in (1, 2, 3)]
    with opened(url) as usage:
        usage.charge([entries[0].charge], refusal_text)  # committed, but its reply was lost
        for _ in range(2):
            usage.restore(entries)
        usage.restore([LocalCharge(Charge(None, 5, (ALICE,)), now)])
        assert usage.charge([Charge(4, 0, (ALICE,))], refusal_text)[0].used == 35
        assert usage.charge([Charge(2, 10, (ALICE,))], refusal_text)[0].repeated


def test_a_local_charge_counts_although_the_store_refused_it(url: str) -> None:
    rate = Limit("account alice", 3600, 5)
    charge = Charge(1, 10, (rate,))
    with opened(url) as usage:
        assert not usage.charge([charge], refusal_text)[0].accepted
        for _ in range(2):
            usage.restore([LocalCharge(charge, time.time())])
        assert usage.charge([Charge(2, 1, (rate,))], refusal_text)[0].used == 10
        assert usage.charge([charge], refusal_text)[0].action == ""


def test_a_local_charge_counts_from_its_own_time(url: str) -> None:
    minute = Limit("account alice", 60, 10)
    with opened(url) as usage:
        ago = time.time() - 58
        usage.restore([LocalCharge(Charge(1, 10, (minute, ALICE)), ago)])
        assert not usage.charge([Charge(2, 1, (minute,))], refusal_text)[0].accepted
        usage.restore([LocalCharge(Charge(3, 1, (minute, ALICE)), ago - 60)])
        wait = ago + 61.1 - time.time()
        time.sleep(max(0.0, wait))
        results = usage.charge([Charge(4, 10, (minute,)), Charge(5, 0, (ALICE,))], refusal_text)
    assert [(v.accepted, v.used) for v in results] == [(True, 10), (True, 11)]


def test_only_expired_rows_are_deleted(url: str, store: Store) -> None:
    minute = Limit("account bob", 60, 10)
    with opened(url) as usage:
        usage.charge([Charge(1, 1, (minute,))], refusal_text)
        usage.charge([Charge(2, 1, (ALICE,))], refusal_text)
        with store.changing() as session:
            session.query(models.UsageRow).filter_by(subject="account bob").update({"until": 1})
            kept = models.BatchRow if store.dialect == "sqlite" else models.SettledMessageRow
            session.query(kept).filter_by(id=1).update({"at": 1})
            session.add(
                models.BatchRow(at=int(time.time()), messages=b"", refused="{}", counts="{}")
            )
        assert sum(usage.delete_expired()) == 2
        assert not sum(usage.delete_expired())
        assert usage.charge([Charge(2, 1, (ALICE,))], refusal_text)[0].repeated
    with opened(url) as usage:
        assert usage.charge([Charge(1, 1, (minute,))], refusal_text)[0].used == 1


READ_ONLY = {
    "sqlite": "PRAGMA query_only=ON",
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
}


def test_a_read_only_store_is_unavailable(url: str, store: Store) -> None:
    with opened(url) as usage:
        usage.restore([])
        _run_in(usage, READ_ONLY[store.dialect])
        with pytest.raises(StoreUnavailable):
            usage.restore([])


def _run_in(usage: Any, statement: str) -> None:
    if isinstance(usage, SqliteCounters):
        usage._connection().execute(statement)
    else:
        usage._kept.exec_driver_sql(statement)
        usage._kept.commit()


def test_seen_windows_survive_a_failure(url: str) -> None:
    with opened(url) as usage:
        usage.charge([Charge(1, 60, (ALICE,))], refusal_text)
        with pytest.raises(StoreUnavailable):
            usage.charge([Charge(2, 30, (ALICE,)), Charge(3, 30, (ALICE,))], _broken)
        assert usage.seen["account alice", 3600].total == 60


def test_seen_windows_survive_writes_of_others(url: str) -> None:
    with opened(url) as usage, opened(url) as other:
        usage.charge([Charge(1, 60, (ALICE,))], refusal_text)
        other.charge([Charge(2, 5, (ALICE,)), Charge(3, 1, (CLIENT,))], refusal_text)
        usage.charge([Charge(4, 1, (CLIENT,))], refusal_text)
        assert usage.seen["account alice", 3600].total == 60
        assert usage.charge([Charge(5, 1, (ALICE,))], refusal_text)[0].used == 66


def test_seen_windows_hold_only_committed_counts(url: str) -> None:
    totals = []

    def looking(charge: Charge, result: ChargeResult, now: float) -> str:
        totals.append(usage.seen["account alice", 3600].total)
        return refusal_text(charge, result, now)

    with opened(url) as usage:
        usage.charge([Charge(1, 60, (ALICE,))], refusal_text)
        usage.charge([Charge(2, 30, (ALICE,)), Charge(3, 30, (ALICE,))], looking)
        assert totals == [60]
        assert usage.seen["account alice", 3600].total == 90


def test_the_longest_lasting_windows_are_kept_in_memory(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.limits.counters.MAX_SEEN", 4)
    with opened(url) as usage:
        usage.charge([Charge(None, 1, (ALICE, CLIENT))], refusal_text)
        for n in range(6):
            usage.charge([Charge(None, 1, (Limit(f"client {n}", 60, 9),))], refusal_text)
        assert {("account alice", 3600), ("client 5", 60)} <= usage.seen.keys()
        assert len(usage.seen) <= 5


def _race(url: str, start: Barrier, first: int, sums: "multiprocessing.Queue[int]") -> None:
    accepted = 0
    with opened(url) as usage:
        start.wait(timeout=60)
        for turn in range(30):
            batch = [
                Charge(first + turn * 3 + n, 1, (ALICE, CLIENT) if n % 2 else (CLIENT, ALICE))
                for n in range(3)
            ]
            accepted += sum(v.accepted for v in usage.charge(batch, refusal_text))
    sums.put(accepted)


def test_concurrent_processes_accept_exactly_the_limit(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(3)
    sums: multiprocessing.Queue[int] = context.Queue()
    racers = [
        context.Process(target=_race, args=(url, start, 1 + n * 1000, sums)) for n in range(3)
    ]
    for racer in racers:
        racer.start()
    total = sum(sums.get(timeout=60) for _ in racers)
    for racer in racers:
        racer.join(timeout=30)
    assert total == 100


def test_subjects_with_quotes_and_backslashes_are_counted_apart(url: str) -> None:
    names = ['a"b', "a\\b", "a\\\\b", 'a\\"b', "{a,b}", "NULL", "a'b", "ä %s"]
    limits = [Limit(f"account {name}", 3600, 10) for name in names]
    with opened(url) as usage:
        for number, limit in enumerate(limits, start=1):
            usage.charge([Charge(None, number, (limit,))], refusal_text)
        results = usage.charge([Charge(None, 0, (limit,)) for limit in limits], refusal_text)
    assert [v.used for v in results] == list(range(1, len(names) + 1))


def test_a_reset_reaches_the_windows_in_memory(url: str, store: Store) -> None:
    minute = Limit("account alice", 60, 100)
    with opened(url) as usage, opened(url) as other:
        for each in (usage, other, usage):
            each.charge([Charge(None, 30, (ALICE, CLIENT, minute))], refusal_text)
        assert reset_usage(store, "account alice", change=AuditContext("operator", "mistake")) == 2
        assert other.charge([Charge(None, 1, (ALICE,))], refusal_text)[0].used == 1
        assert usage.charge([Charge(None, 1, (ALICE,))], refusal_text)[0].used == 2
        assert usage.charge([Charge(None, 1, (CLIENT,))], refusal_text)[0].used == 91
    with opened(url) as usage:
        assert usage.charge([Charge(None, 1, (ALICE,))], refusal_text)[0].used == 3
    assert entries(store, subject="account alice")[0].why == "mistake"
