"""Local counters start from the windows seen, limit, and keep charges for the store."""

import pytest

from policyd import local_counters
from policyd.local_counters import LocalCounters
from store.limits.window import Charge, ChargeResult, Limit, Window

NOW = 1_800_000_000.0
RATE = Limit("account alice", 3600, 10)


def no(charge: Charge, verdict: ChargeResult, now: float) -> str:
    return f"450 {charge.amount} {verdict.used} {now:.0f}"


def seen(used: int) -> dict[tuple[str, int], Window]:
    window = Window(3600, 0)
    window.advance(NOW)
    window.used = used
    return {("account alice", 3600): window}


def test_local_limits_continue_from_the_last_windows_seen() -> None:
    known = seen(8)
    local = LocalCounters(known, 0.0)
    batch = [Charge(n, 1, (RATE,)) for n in range(4)]
    assert [v.accepted for v in local.settle(batch, NOW, no)] == [True, True, False, False]
    assert known["account alice", 3600].total == 8
    assert [entry.charge.id for entry in local.take(9)] == [0, 1]


def test_a_repeated_request_gets_the_same_reply_and_is_kept_once() -> None:
    local = LocalCounters({}, 0.0)
    first = local.settle([Charge(1, 10, (RATE,)), Charge(2, 1, (RATE,))], NOW, no)
    again = local.settle([Charge(1, 10, (RATE,)), Charge(2, 1, (RATE,))], NOW + 1, no)
    assert [v.action for v in again] == [v.action for v in first]
    assert local.counted == 1


def test_the_clock_is_that_of_the_store() -> None:
    local = LocalCounters(seen(10), 7200.0)
    (verdict,) = local.settle([Charge(1, 1, (RATE,))], NOW - 7200, no)
    assert verdict.action == f"450 1 10 {NOW:.0f}"
    local.settle([Charge(2, 1, (RATE,))], NOW - 7200 + 3661, no)
    assert local.take(1)[0].at == NOW - 7200 + 3661


def test_charges_that_are_put_back_keep_their_order() -> None:
    local = LocalCounters({}, 0.0)
    local.settle([Charge(n, 1, (RATE,)) for n in range(3)], NOW, no)
    first = local.take(2)
    local.put_back(first)
    assert [entry.charge.id for entry in local.take(3)] == [0, 1, 2]


def test_refused_requests_take_no_room_from_accepted_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_counters, "MAX_COUNTED", 10)
    monkeypatch.setattr(local_counters, "MAX_REFUSED", 10)
    local = LocalCounters(seen(8), 0.0)
    never = Limit("account bob", 3600, 0)
    local.settle([Charge(n, 1, (never,)) for n in range(1000)], NOW, no)
    for _ in range(2):
        assert local.settle([Charge(2000, 1, (RATE,))], NOW, no)[0].accepted
    assert local.counted == 1
    assert local.settle([Charge(999, 1, (never,))], NOW + 1, no)[0].repeated
    assert not local.settle([Charge(0, 1, (never,))], NOW + 1, no)[0].repeated


def test_charges_without_an_id_are_kept_up_to_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_counters, "MAX_COUNTED", 3)
    local = LocalCounters({}, 0.0)
    verdicts = local.settle([Charge(None, 1, (RATE,)) for _ in range(11)], NOW, no)
    assert [v.accepted for v in verdicts] == [True] * 10 + [False]
    assert (local.counted, local.dropped) == (3, 7)
