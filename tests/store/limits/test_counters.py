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
from store.limits.reset import forget_usage
from store.limits.window import Charge, ChargeResult, Limit, LocalCharge

ALICE = Limit("account alice", 3600, 100)
CLIENT = Limit("client 192.0.2.7", 3600, 100)


@pytest.fixture(autouse=True)
def _tables(store: Store) -> None:
    """Have the tables made at `url` (tests/store/conftest.py: each kind of database)."""
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


def word(charge: Charge, verdict: ChargeResult, now: float) -> str:
    del charge, now
    assert verdict.limit is not None
    return f"450 {verdict.limit.subject} {verdict.used}"


def _broken(*_: object) -> str:
    raise StoreUnavailable


def test_a_batch_is_charged_until_the_limit(url: str) -> None:
    with opened(url) as usage:
        verdicts = usage.charge([Charge(n, 30, (ALICE, CLIENT)) for n in range(1, 6)], word)
        assert [v.accepted for v in verdicts] == [True, True, True, False, False]
        assert [v.used for v in verdicts] == [30, 60, 90, 90, 90]
        assert verdicts[3].action == "450 account alice 90"
        assert usage.charge([Charge(9, 10, (ALICE,))], word)[0].used == 100


def test_counts_survive_a_restart(url: str) -> None:
    with opened(url) as usage:
        usage.charge([Charge(1, 99, (ALICE,))], word)
    with opened(url) as usage:
        verdicts = usage.charge([Charge(2, 2, (ALICE,)), Charge(3, 1, (ALICE,))], word)
    assert [v.accepted for v in verdicts] == [False, True]


@pytest.mark.parametrize(("limit", "used"), [(100, 11), (5, 1)])
def test_a_repeat_is_told_the_same_once_by_whoever_it_asks(url: str, limit: int, used: int) -> None:
    rate = Limit("account alice", 3600, limit)
    with opened(url) as first, opened(url) as second:
        said = first.charge([Charge(1, 10, (rate,)), Charge(2, 1, (rate,))], word)
        for number, usage in enumerate((second, first), start=3):
            again = usage.charge([Charge(1, 10, (rate,)), Charge(number, 0, (rate,))], word)
            assert (again[0].accepted, again[0].action) == (said[0].accepted, said[0].action)
            assert again[0].repeated
        assert first.charge([Charge(5, 0, (rate,))], word)[0].used == used


def test_a_failed_batch_charges_nothing(url: str) -> None:
    batch = [Charge(1, 60, (ALICE,)), Charge(2, 60, (ALICE,))]
    with opened(url) as usage:
        with pytest.raises(StoreUnavailable):
            usage.charge(batch, _broken)
        verdicts = usage.charge(batch, word)
    assert [(v.accepted, v.used) for v in verdicts] == [(True, 60), (False, 60)]


def test_what_was_accepted_without_the_store_is_added_once(url: str) -> None:
    now = time.time()
    entries = [LocalCharge(Charge(n, 10, (ALICE, CLIENT)), now) for n in (1, 2, 3)]
    with opened(url) as usage:
        usage.charge([entries[0].charge], word)  # committed, but its answer never came
        for _ in range(2):
            usage.restore(entries)
        usage.restore([LocalCharge(Charge(None, 5, (ALICE,)), now)])
        assert usage.charge([Charge(4, 0, (ALICE,))], word)[0].used == 35
        assert usage.charge([Charge(2, 10, (ALICE,))], word)[0].repeated


def test_what_was_accepted_locally_and_refused_by_the_store_counts(url: str) -> None:
    rate = Limit("account alice", 3600, 5)
    charge = Charge(1, 10, (rate,))
    with opened(url) as usage:
        assert not usage.charge([charge], word)[0].accepted
        for _ in range(2):
            usage.restore([LocalCharge(charge, time.time())])
        assert usage.charge([Charge(2, 1, (rate,))], word)[0].used == 10
        assert usage.charge([charge], word)[0].action == ""


def test_what_was_accepted_a_while_ago_counts_from_then(url: str) -> None:
    minute = Limit("account alice", 60, 10)
    with opened(url) as usage:
        ago = time.time() - 58
        usage.restore([LocalCharge(Charge(1, 10, (minute, ALICE)), ago)])
        assert not usage.charge([Charge(2, 1, (minute,))], word)[0].accepted
        usage.restore([LocalCharge(Charge(3, 1, (minute, ALICE)), ago - 60)])
        wait = ago + 61.1 - time.time()
        time.sleep(max(0.0, wait))
        verdicts = usage.charge([Charge(4, 10, (minute,)), Charge(5, 0, (ALICE,))], word)
    assert [(v.accepted, v.used) for v in verdicts] == [(True, 10), (True, 11)]


def test_what_is_over_is_forgotten_and_nothing_else(url: str, store: Store) -> None:
    minute = Limit("account bob", 60, 10)
    with opened(url) as usage:
        usage.charge([Charge(1, 1, (minute,))], word)
        usage.charge([Charge(2, 1, (ALICE,))], word)
        with store.changing() as session:
            session.query(models.UsageRow).filter_by(subject="account bob").update({"until": 1})
            kept = models.BatchRow if store.dialect == "sqlite" else models.SettledMessageRow
            session.query(kept).filter_by(id=1).update({"at": 1})
            session.add(
                models.BatchRow(at=int(time.time()), messages=b"", refused="{}", counts="{}")
            )
        assert sum(usage.forget()) == 2
        assert not sum(usage.forget())
        assert usage.charge([Charge(2, 1, (ALICE,))], word)[0].repeated
    with opened(url) as usage:
        assert usage.charge([Charge(1, 1, (minute,))], word)[0].used == 1


READ_ONLY = {
    "sqlite": "PRAGMA query_only=ON",
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
}


def test_a_store_that_only_reads_is_not_back(url: str, store: Store) -> None:
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


def test_the_windows_seen_last_outlive_a_failure(url: str) -> None:
    with opened(url) as usage:
        usage.charge([Charge(1, 60, (ALICE,))], word)
        with pytest.raises(StoreUnavailable):
            usage.charge([Charge(2, 30, (ALICE,)), Charge(3, 30, (ALICE,))], _broken)
        assert usage.seen["account alice", 3600].total == 60


def test_the_windows_seen_last_outlive_what_others_write(url: str) -> None:
    with opened(url) as usage, opened(url) as other:
        usage.charge([Charge(1, 60, (ALICE,))], word)
        other.charge([Charge(2, 5, (ALICE,)), Charge(3, 1, (CLIENT,))], word)
        usage.charge([Charge(4, 1, (CLIENT,))], word)
        assert usage.seen["account alice", 3600].total == 60
        assert usage.charge([Charge(5, 1, (ALICE,))], word)[0].used == 66


def test_the_windows_seen_last_hold_nothing_that_is_not_committed(url: str) -> None:
    totals = []

    def looking(charge: Charge, verdict: ChargeResult, now: float) -> str:
        totals.append(usage.seen["account alice", 3600].total)
        return word(charge, verdict, now)

    with opened(url) as usage:
        usage.charge([Charge(1, 60, (ALICE,))], word)
        usage.charge([Charge(2, 30, (ALICE,)), Charge(3, 30, (ALICE,))], looking)
        assert totals == [60]
        assert usage.seen["account alice", 3600].total == 90


def test_of_too_many_windows_those_that_last_longest_stay(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.limits.counters.MAX_SEEN", 4)
    with opened(url) as usage:
        usage.charge([Charge(None, 1, (ALICE, CLIENT))], word)
        for n in range(6):
            usage.charge([Charge(None, 1, (Limit(f"client {n}", 60, 9),))], word)
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
            accepted += sum(v.accepted for v in usage.charge(batch, word))
    sums.put(accepted)


def test_processes_together_accept_exactly_the_limit(url: str) -> None:
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
            usage.charge([Charge(None, number, (limit,))], word)
        verdicts = usage.charge([Charge(None, 0, (limit,)) for limit in limits], word)
    assert [v.used for v in verdicts] == list(range(1, len(names) + 1))


def test_what_an_operator_forgets_is_forgotten_by_who_has_it_in_memory(
    url: str, store: Store
) -> None:
    minute = Limit("account alice", 60, 100)
    with opened(url) as usage, opened(url) as other:
        for each in (usage, other, usage):
            each.charge([Charge(None, 30, (ALICE, CLIENT, minute))], word)
        assert forget_usage(store, "account alice", change=AuditContext("operator", "mistake")) == 2
        assert other.charge([Charge(None, 1, (ALICE,))], word)[0].used == 1
        assert usage.charge([Charge(None, 1, (ALICE,))], word)[0].used == 2
        assert usage.charge([Charge(None, 1, (CLIENT,))], word)[0].used == 91
    with opened(url) as usage:
        assert usage.charge([Charge(None, 1, (ALICE,))], word)[0].used == 3
    assert entries(store, subject="account alice")[0].why == "mistake"
