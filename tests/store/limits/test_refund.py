"""The charge of a message that was not accepted is refunded exactly once, on every database."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest

from store.engine import Store
from store.limits import refund, reset
from store.limits.counters import Counters
from store.limits.open import open_counters
from store.limits.refund import RefundRequest, name_of
from store.limits.report import report
from store.limits.window import Charge, Limit, LocalCharge, Window
from tests.conftest import CHANGE

LIMITS = (Limit("client 192.0.2.7", 3600, 200), Limit("account bob", 3600, 200))
NAME = name_of("4ABC", "192.0.2.7")


@pytest.fixture
def usage(store: Store) -> Iterator[Counters[Any]]:
    made = open_counters(store)
    yield made
    made.close()


def charge(usage: Counters[Any], name: int, amount: int, *, queue: bytes = NAME) -> None:
    (result,) = usage.charge([Charge(name, amount, LIMITS, queue)], lambda *_: "no")
    assert result.accepted


def drop(store: Store, queue: bytes = NAME, *, ago: float = 0.0) -> None:
    now = time.monotonic() - ago
    refund.request(store, [RefundRequest(queue, now, now)])


def counts(store: Store) -> set[int]:
    return {each.used for each in report(store)}


def test_repeated_requests_refund_a_charge_once(store: Store, usage: Counters[Any]) -> None:
    charge(usage, 1, 5)
    charge(usage, 2, 3, queue=name_of("4ABD", "192.0.2.7"))
    for _ in range(3):
        drop(store)
    assert usage.has_refund_requests()
    assert usage.refund() == 1
    assert not usage.has_refund_requests()
    assert counts(store) == {3}
    drop(store)
    assert usage.refund() == 0
    assert counts(store) == {3}


def test_a_message_never_charged_is_not_refunded(store: Store, usage: Counters[Any]) -> None:
    charge(usage, 1, 5)
    drop(store, name_of("4ABC", "192.0.2.8"))
    assert usage.refund() == 0
    assert counts(store) == {5}


def test_all_charges_of_a_message_are_refunded(store: Store, usage: Counters[Any]) -> None:
    for each in range(4):  # at RCPT, each recipient is charged by itself
        charge(usage, each, 1)
    drop(store)
    assert usage.refund() == 4
    assert counts(store) == set()


def test_a_later_message_of_the_same_queue_id_stays_counted(
    store: Store, usage: Counters[Any]
) -> None:
    charge(usage, 1, 5)
    drop(store, ago=60)
    assert usage.refund() == 0
    assert counts(store) == {5}


def test_a_local_charge_is_refunded_once_the_store_has_it(
    store: Store, usage: Counters[Any]
) -> None:
    lost = time.time()
    drop(store)
    assert usage.refund() == 0
    usage.restore([LocalCharge(Charge(1, 5, LIMITS, NAME), time.time())])
    assert counts(store) == {5}
    assert usage.refund(since=lost) == 1
    assert counts(store) == set()


def test_another_process_refunds_what_this_one_charged(store: Store, usage: Counters[Any]) -> None:
    charge(usage, 1, 5)
    drop(store)
    other = open_counters(store)
    assert other.refund() == 1
    charge(usage, 2, 2, queue=name_of("4ABE", "192.0.2.7"))
    assert counts(store) == {2}
    other.close()


def test_two_processes_at_once_refund_once(store: Store) -> None:
    both = [open_counters(store) for _ in range(2)]
    names = [name_of(f"4{number:03}", "192.0.2.7") for number in range(50)]
    with ThreadPoolExecutor(2) as pool:
        for place, name in enumerate(names):
            charge(both[place % 2], place, 1, queue=name)
            drop(store, name)
            if place % 5 == 4:
                together = Barrier(2)
                found = pool.map(partial(_look, together), both)
                assert sum(found) == 5
                assert counts(store) == set()
    for each in both:
        each.close()


def _look(together: Barrier, usage: Counters[Any]) -> int:
    together.wait()
    return usage.refund()


def test_usage_reset_by_an_operator_is_not_refunded_again(
    store: Store, usage: Counters[Any]
) -> None:
    charge(usage, 1, 5)
    for limit in LIMITS:
        reset.reset_usage(store, limit.subject, change=CHANGE)
    charge(usage, 2, 5, queue=name_of("4ABF", "192.0.2.7"))
    drop(store)
    usage.refund()
    assert counts(store) == {5}


@pytest.mark.parametrize(
    ("later", "left"), [(0, (0, 0)), (59, (3, 0)), (60 * 60, (3, 0)), (61 * 60, (3, 0))]
)
def test_a_window_that_moved_on_loses_only_the_refund(later: int, left: tuple[int, int]) -> None:
    now = 3600 * 1000
    window = Window(3600, now // 60)
    window.used += 5
    window.advance(now + later)
    if later > 58:
        window.advance(now + later + 60)
        window.used += 3
    window.take_back(now, 5)
    assert (window.total, window.older) == left


def test_after_a_clock_was_set_back_a_refund_frees_no_newer_slot() -> None:
    now = 3600 * 1000
    window = Window(3600, now // 60)
    window.used += 4  # of somebody else, and the oldest
    window.advance(now + 600)
    window.used += 5
    window.advance(now - 3600)
    window.take_back(now + 600, 5)
    assert (window.used, window.older) == (4, 0)
