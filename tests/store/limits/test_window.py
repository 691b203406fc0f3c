"""The sliding window against an oracle that remembers every recipient."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.limits.window import (
    PAST_BYTES,
    SLOTS,
    Charge,
    ChargeResult,
    Key,
    Limit,
    Window,
    keys_of,
    settle,
    settle_all,
    slot_of,
    tolerance,
)

START = 1_800_000_000
SPANS = (60, 90, 3600, 86400)


@dataclass
class Oracle:
    """Keeps time and amount of each accepted charge of one subject."""

    span: int
    accepted: list[tuple[float, int]] = field(default_factory=list)

    def held(self, now: float, length: float) -> int:
        """Return what was accepted in the *length* seconds up to *now*."""
        return sum(amount for at, amount in self.accepted if now - length < at <= now)


arrivals = st.lists(
    st.tuples(st.floats(0, 1.3, allow_subnormal=False), st.integers(1, 9)), min_size=1, max_size=80
)


@given(span=st.sampled_from(SPANS), limit=st.integers(1, 30), steps=arrivals)
def test_no_period_exceeds_the_limit_and_strictness_is_a_sixtieth(
    span: int, limit: int, steps: list[tuple[float, int]]
) -> None:
    window = Window(span, 0)
    rate = Limit("client 192.0.2.7", span, limit)
    oracle = Oracle(span)
    now = float(START)
    for gap, amount in steps:
        now += gap * span / 4
        window.advance(now)
        result = settle(Charge(None, amount, (rate,)), {("client 192.0.2.7", span): window})
        if result.accepted:
            oracle.accepted.append((now, amount))
            assert oracle.held(now, span) <= limit
        else:
            # Refused only if it would not fit a window one sixtieth longer either.
            assert oracle.held(now, span * (SLOTS + 1) / SLOTS) + amount > limit


@given(
    span=st.sampled_from(SPANS), limit=st.integers(1, 30), steps=arrivals, wanted=st.integers(1, 30)
)
def test_the_retry_time_is_the_earliest_that_fits(
    span: int, limit: int, steps: list[tuple[float, int]], wanted: int
) -> None:
    window = Window(span, 0)
    now = float(START)
    for gap, amount in steps:
        now += gap * span / 4
        window.advance(now)
        if window.total + amount <= limit:
            window.used += amount
    again = window.free_at(wanted, limit)
    if wanted > limit:
        assert again is None
        return
    assert again is not None
    if again > now:
        before = _copy(window)
        before.advance(math.nextafter(again, 0) - 1e-3)
        assert before.total + wanted > limit
    window.advance(max(again, now) + 1e-3)
    assert window.total + wanted <= limit


def _copy(window: Window) -> Window:
    return Window(
        window.span, window.slot, used=window.used, past=window.past, refused=window.refused
    )


@given(span=st.sampled_from(SPANS), steps=arrivals)
def test_a_window_survives_its_row(span: int, steps: list[tuple[float, int]]) -> None:
    kept, stored = Window(span, 0), Window(span, 0)
    now = float(START)
    for gap, amount in steps:
        now += gap * span / 4
        stored = _copy(stored)
        for each in (kept, stored):
            each.advance(now)
            each.used += amount
        assert len(stored.past) <= PAST_BYTES
        assert (kept.total, kept.slot, kept.past) == (stored.total, stored.slot, stored.past)


@given(
    span=st.sampled_from(SPANS),
    steps=st.lists(st.tuples(st.floats(-3, 3), st.integers(1, 9)), max_size=60),
    limit=st.integers(1, 20),
)
def test_a_clock_step_grants_and_blocks_at_most_one_window(
    span: int, steps: list[tuple[float, int]], limit: int
) -> None:
    window = Window(span, 0)
    key = ("account alice", span)
    now, granted = float(START), 0
    for step, amount in steps:
        now += step * span
        window.advance(now)
        before = granted
        while settle(Charge(None, amount, (Limit(*key, limit),)), {key: window}).accepted:
            granted += amount
        assert granted - before <= limit
        free = window.free_at(min(amount, limit), limit)
        assert free is not None
        slack = (tolerance(span) + 1) * span / SLOTS
        assert free - now <= span + slack


@dataclass
class Ledger:
    """The rules of `window.py` applied entry by entry: nothing is packed or summed.

    An entry has the slot in which it was accepted; a clock set back moves all of them.
    """

    entries: dict[Key, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    slots: dict[Key, int] = field(default_factory=dict)
    replies: dict[int, bool] = field(default_factory=dict)

    def held(self, key: Key) -> int:
        """Return what counts now."""
        oldest = self.slots[key] - SLOTS
        return sum(amount for slot, amount in self.entries[key] if slot >= oldest)

    def settle(self, batch: Sequence[Charge], now: float) -> list[bool]:
        """Return which charges of *batch* are accepted."""
        for key in keys_of(batch):
            self._be(key, now)
        return [self._accepts(charge) for charge in batch]

    def _be(self, key: Key, now: float) -> None:
        slot, last = math.floor(now * SLOTS / key[1]), self.slots.get(key)
        if last is not None and slot < last:
            if last - slot <= tolerance(key[1]):
                return
            self.entries[key] = [(each + slot - last, amount) for each, amount in self.entries[key]]
        self.slots[key] = slot

    def _accepts(self, charge: Charge) -> bool:
        if charge.id in self.replies:
            return self.replies[charge.id]
        keys = [(limit.subject, limit.span) for limit in charge.limits]
        fits = all(
            self.held(key) + charge.amount <= limit.limit
            for key, limit in zip(keys, charge.limits, strict=True)
        )
        if fits:
            for key in keys:
                self.entries[key].append((self.slots[key], charge.amount))
        if charge.id is not None:
            self.replies[charge.id] = fits
        return fits


@dataclass(frozen=True)
class Turn:
    """The clock moves by *step* seconds; then *batch* comes, each its amount and its limits."""

    step: float
    batch: tuple[tuple[int, tuple[bool, bool, bool, bool]], ...]
    repeated: bool  # whether the batch comes twice, the second time to a restarted process


# In milliseconds: PostgreSQL divides, Python floors, and they differ by rounding only.
_steps = st.one_of(
    st.integers(0, 3_000),
    st.integers(0, 90_000),
    st.integers(0, 7_300_000),
    st.sampled_from([-500, -4_000, -61_000, -3_600_000, -86_400_000, 3_600_000, 90_000_000]),
).map(lambda ms: ms / 1000)
_masks = st.tuples(*[st.booleans()] * 4).filter(any)
turns = st.lists(
    st.builds(
        Turn,
        step=_steps,
        batch=st.lists(st.tuples(st.integers(1, 6), _masks), min_size=1, max_size=6).map(tuple),
        repeated=st.booleans(),
    ),
    max_size=12,
)
limits_of_four = st.tuples(*[st.integers(1, 20)] * 4)


def four(most: tuple[int, ...], name: object) -> list[Limit]:
    """Return limits of two subjects, each with two windows."""
    kinds = (("client", 60), ("client", 3600), ("account", 90), ("account", 86400))
    return [Limit(f"{kind} {name}", span, n) for (kind, span), n in zip(kinds, most, strict=True)]


def charges(turn: Turn, limits: Sequence[Limit], ids: Iterator[int]) -> list[Charge]:
    """Return the batch of *turn*; its last message comes twice."""
    batch = [
        Charge(next(ids), amount, tuple(itertools.compress(limits, mask)))
        for amount, mask in turn.batch
    ]
    return [*batch, batch[-1]]


@given(most=limits_of_four, steps=turns)
def test_batches_of_several_keys_are_settled_like_a_ledger(
    most: tuple[int, ...], steps: list[Turn]
) -> None:
    ledger, windows, replies = Ledger(), dict[Key, Window](), dict[int, str]()
    limits, ids, now = four(most, "x"), itertools.count(), float(START)
    for turn in steps:
        now += turn.step
        batch = charges(turn, limits, ids)
        for _ in range(1 + turn.repeated):
            windows = {key: _copy(window) for key, window in windows.items()}  # rows, read again
            for key in keys_of(batch):
                windows.setdefault(key, Window(key[1], slot_of(now, key[1]))).advance(now)
            results = settle_all(batch, windows, prior=replies, now=now, text=_no)
            assert [each.accepted for each in results] == ledger.settle(batch, now)
            replies |= {
                c.id: v.action for c, v in zip(batch, results, strict=True) if c.id is not None
            }
            for key in keys_of(batch):
                assert windows[key].total == ledger.held(key)


@pytest.mark.parametrize("back", [0.4, 1, 4])
def test_a_clock_slightly_behind_counts_into_the_slot_of_the_row(back: float) -> None:
    window = Window(60, 0)
    window.advance(START)
    window.used = 5
    window.advance(START - back)
    assert (window.slot, window.total) == (START, 5)


def test_a_clock_that_was_set_back_takes_its_counts_along() -> None:
    window = Window(3600, 0)
    window.advance(START)
    window.used = 5
    window.advance(START - 86400)
    assert window.total == 5
    window.advance(START - 86400 + 3600 + 61)
    assert window.total == 0


def test_all_windows_are_charged_or_none() -> None:
    hour, day = Limit("account a", 3600, 10), Limit("account a", 86400, 3)
    windows = {("account a", 3600): Window(3600, 0), ("account a", 86400): Window(86400, 0)}
    for window in windows.values():
        window.advance(START)
    assert settle(Charge(None, 2, (hour, day)), windows).accepted
    refused = settle(Charge(None, 2, (hour, day)), windows)
    assert (refused.accepted, refused.limit, refused.used) == (False, day, 2)
    assert [w.total for w in windows.values()] == [2, 2]
    assert [w.refused for w in windows.values()] == [0, 2]


def test_refused_tries_do_not_prolong_a_block() -> None:
    key, limit = ("client c", 60), Limit("client c", 60, 2)
    window = Window(60, 0)
    window.advance(START)
    settle(Charge(None, 2, (limit,)), {key: window})
    until = window.free_at(1, 2)
    for second in range(1, 60):
        window.advance(START + second)
        assert not settle(Charge(None, 1, (limit,)), {key: window}).accepted
        assert window.free_at(1, 2) == until
    window.advance(START + 61)
    assert settle(Charge(None, 1, (limit,)), {key: window}).accepted


def test_the_refusing_limit_that_has_room_last_is_named() -> None:
    hour, day = Limit("account a", 3600, 1), Limit("account a", 86400, 1)
    windows = {("account a", 3600): Window(3600, 0), ("account a", 86400): Window(86400, 0)}
    for window in windows.values():
        window.advance(START)
        window.used = 1
    result = settle(Charge(None, 1, (hour, day)), windows)
    assert result.limit == day
    assert result.again == windows["account a", 86400].free_at(1, 1)


def test_a_charge_that_never_fits_has_no_retry_time() -> None:
    windows = {("c", 60): Window(60, 0)}
    assert settle(Charge(None, 3, (Limit("c", 60, 2),)), windows).again is None


def _no(charge: Charge, result: ChargeResult, now: float) -> str:
    return f"450 no {charge.amount} {result.used} {now:.0f}"


def test_a_repeat_within_a_batch_gets_the_same_reply_for_free() -> None:
    limit = Limit("c", 60, 2)
    windows = {("c", 60): Window(60, 0)}
    batch = [Charge(1, 2, (limit,)), Charge(2, 1, (limit,)), Charge(1, 2, (limit,))]
    batch.append(batch[1])
    results = settle_all(batch, windows, prior={}, now=0, text=_no)
    assert [v.accepted for v in results] == [True, False, True, False]
    assert [v.repeated for v in results] == [False, False, True, True]
    assert results[1].action == results[3].action == "450 no 1 2 0"
    assert windows["c", 60].total == 2
    assert windows["c", 60].refused == 1


def test_a_repeated_request_gets_the_stored_reply() -> None:
    windows = {("c", 60): Window(60, 0)}
    limit = Limit("c", 60, 2)
    replies = {1: "", 2: "450 earlier"}
    batch = [Charge(1, 1, (limit,)), Charge(2, 1, (limit,))]
    results = settle_all(batch, windows, prior=replies, now=0, text=_no)
    assert [v.action for v in results] == ["", "450 earlier"]
    assert windows["c", 60].total == 0


def test_keys_are_always_in_the_same_order() -> None:
    one, two = Limit("b", 60, 1), Limit("a", 3600, 1)
    assert keys_of([Charge(None, 1, (one, two))]) == keys_of([Charge(None, 1, (two, one))])
