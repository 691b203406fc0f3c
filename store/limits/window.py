"""The true sliding window of the sending limits, and the rule "all windows or none". Pure.

A window of *span* seconds is counted in sixtieths: the current one (``used``) and the 60 before it
(``past``). Any period of *span* seconds touches at most those 61 slots, so while their sum is
within the limit, no such period exceeds it. The price is strictness: a recipient counts for up to
61/60 of *span*.

Clocks step. A clock slightly behind the row (another machine's, or after waiting for a lock)
counts into the row's slot: elapsed time is never negative. A clock far behind was set back: the
row follows it with all its counts, so nobody gains a recipient and nobody is blocked for longer
than one window from now.
"""

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

SLOTS = 60
SLOT_BYTES = 4  # of one slot in `UsageRow.past`: big-endian, unsigned
PAST_BYTES = SLOTS * SLOT_BYTES
# Waiting for a lock can delay the use of a time by this (store.engine.LOCK_WAIT_MS, rounded up).
# A clock further behind the row was set back.
JITTER_SECONDS = 5
# The columns hold 31 bits. Limits keep accepted recipients far below.
MAX_COUNT = (1 << 31) - 1
_PAST = struct.Struct(f">{SLOTS}I")

Key: TypeAlias = tuple[str, int]  # subject, span in seconds


class Limit(NamedTuple):
    """At most *limit* recipients of *subject* in any *span* seconds."""

    subject: str
    span: int
    limit: int


class Charge(NamedTuple):
    """*amount* recipients that must fit all *limits*.

    *id* names the message, so that it is charged once; ``None`` if it has no name.
    *queue* is the name by which it may be refunded (`store.limits.refund`).
    """

    id: int | None
    amount: int
    limits: tuple[Limit, ...]
    queue: bytes | None = None


class LocalCharge(NamedTuple):
    """A *charge* that was accepted at the time *at*, while the store was unavailable."""

    charge: Charge
    at: float


class ChargeResult(NamedTuple):
    """The result of a charge.

    *limit* is the one that refused, or the fullest of those that accepted; *used* is its count
    before a refusal or after acceptance. *again* is the earliest time at which the charge would
    fit, ``None`` if it never can. *action* is the reply; a *repeated* charge has nothing else.
    """

    accepted: bool
    limit: Limit | None = None
    used: int = 0
    again: float | None = None
    action: str = ""
    repeated: bool = False


# The arguments of `free_at` with the state of the window, and its result.
_Free: TypeAlias = tuple[tuple[int, ...], float | None]
RefusalText: TypeAlias = Callable[[Charge, ChargeResult, float], str]


def slot_of(now: float, span: int) -> int:
    """Return the number of the sixtieth of *span* that *now* lies in, counted since 1970."""
    return int(now * SLOTS // span)


def tolerance(span: int) -> int:
    """Return by how many slots a clock may be behind a row without having been set back."""
    return 1 + math.ceil(JITTER_SECONDS * SLOTS / span)


class Window:
    """One row of `store.models.UsageRow`, in memory."""

    __slots__ = ("_free", "_past", "moved", "older", "refused", "row", "slot", "span", "used")

    def __init__(
        self, span: int, slot: int, *, used: int = 0, past: bytes = b"", refused: int = 0
    ) -> None:
        """Create one from the columns of its row."""
        self.span = span
        self.slot = slot
        self.used = used
        self.refused = refused
        self._past = past
        self.older = _sum(past)  # all of the past
        self.row: int | None = None  # its row id, once it is stored
        self.moved = False  # whether more than `used` and `refused` has changed
        self._free: _Free = ((), None)

    @property
    def total(self) -> int:
        """The recipients that count against the limit."""
        return self.used + self.older

    @property
    def past(self) -> bytes:
        """The slots before the current one, newest first, without trailing empty ones."""
        return self._past

    @property
    def until(self) -> int:
        """The time at which the window will be empty."""
        return math.ceil((self.slot + SLOTS + 1) * self.span / SLOTS)

    def advance(self, now: float) -> None:
        """Move to the slot of *now*."""
        slot = slot_of(now, self.span)
        ahead = slot - self.slot
        if ahead == 0 or -tolerance(self.span) <= ahead < 0:
            return
        if ahead > 0:
            self._shift(ahead)
        self.slot = slot
        self.moved = True

    def _shift(self, ahead: int) -> None:
        if ahead > SLOTS:
            self._past = b""
        else:
            newest = self.used.to_bytes(SLOT_BYTES, "big")
            past = (bytes(SLOT_BYTES * (ahead - 1)) + newest + self._past)[:PAST_BYTES]
            self._past = _trim(past)
        self.older = _sum(self._past)
        self.used = 0
        if not self.older:
            self.refused = 0

    def add_at(self, when: float, amount: int) -> None:
        """Count *amount* in the slot of *when*, if that still counts."""
        age = self.slot - slot_of(when, self.span)
        if age <= 0:
            self.used += amount
        elif age <= SLOTS:
            slots = list(_PAST.unpack(self._past.ljust(PAST_BYTES, b"\0")))
            slots[age - 1] += amount
            self._past = _trim(_PAST.pack(*slots))
            self.older += amount
            self.moved = True

    def take_back(self, when: int, amount: int) -> None:
        """Take off *amount* that was counted at *when* or a moment later.

        What that slot lacks is in a newer one, because clocks of machines differ. Taking the
        oldest first, no newer slot loses recipients of another message.
        """
        age = self.slot - slot_of(when, self.span)
        if age > SLOTS:
            return  # it no longer counts
        if age < 0:
            age = SLOTS  # the clock was set back, so the slot is unknown
        slots = list(_PAST.unpack(self._past.ljust(PAST_BYTES, b"\0")))
        for each in range(age - 1, -1, -1):
            taken = min(amount, slots[each])
            slots[each] -= taken
            amount -= taken
        self._past = _trim(_PAST.pack(*slots))
        self.older = sum(slots)
        self.used -= min(amount, self.used)
        self.moved = True

    def copy(self) -> "Window":
        """Return a copy, of the same row."""
        twin = Window.__new__(Window)  # takes a third of the time: nothing is summed again
        twin.span, twin.slot, twin.row, twin.moved = self.span, self.slot, self.row, self.moved
        twin.used, twin.refused = self.used, self.refused
        twin._past, twin.older = self._past, self.older  # noqa: SLF001 - same class
        twin._free = self._free  # noqa: SLF001
        return twin

    def free_at(self, amount: int, limit: int) -> float | None:
        """Return the earliest time at which *amount* fits *limit* if nothing is added."""
        # A client over its limit asks the same all day, while nothing changes.
        asked = (amount, limit, self.slot, self.used, self.older)
        if self._free[0] != asked:
            self._free = (asked, self._free_at(amount, limit))
        return self._free[1]

    def _free_at(self, amount: int, limit: int) -> float | None:
        room = limit - amount
        if room < 0:
            return None
        left = self.total
        if left <= room:
            return self.slot * self.span / SLOTS
        slots = _PAST.unpack(self._past.ljust(PAST_BYTES, b"\0"))
        for age in range(SLOTS, 0, -1):
            left -= slots[age - 1]
            if left <= room:
                return (self.slot - age + SLOTS + 1) * self.span / SLOTS
        return (self.slot + SLOTS + 1) * self.span / SLOTS


def _sum(past: bytes) -> int:
    return sum(_PAST.unpack(past.ljust(PAST_BYTES, b"\0"))) if past else 0


def _trim(past: bytes) -> bytes:
    """Strip trailing empty slots."""
    kept = len(past.rstrip(b"\0"))
    return past[: -(-kept // SLOT_BYTES) * SLOT_BYTES]


def keys_of(charges: Iterable[Charge]) -> list[Key]:
    """Return the keys of the windows that *charges* touch, in the order of locking."""
    return sorted({(limit.subject, limit.span) for charge in charges for limit in charge.limits})


def settle(charge: Charge, windows: Mapping[Key, Window]) -> ChargeResult:
    """Charge all windows of *charge*, or none and count the refusal where it was refused."""
    amount = charge.amount
    refusing: list[tuple[float, Limit, Window]] = []
    fullest: Limit | None = None
    share, used = -1.0, 0
    for limit in charge.limits:
        window = windows[limit.subject, limit.span]
        total = window.used + window.older + amount
        if total > limit.limit:
            again = window.free_at(amount, limit.limit)
            refusing.append((math.inf if again is None else again, limit, window))
        elif total > share * limit.limit:
            share, fullest, used = total / limit.limit, limit, total
    if not refusing:
        for limit in charge.limits:
            windows[limit.subject, limit.span].used += amount
        return ChargeResult(accepted=True, limit=fullest, used=used)
    for _, _, window in refusing:
        window.refused = min(window.refused + amount, MAX_COUNT)
    # The limit that has room last decides; while nothing is added, windows only empty.
    again, limit, window = max(refusing, key=lambda each: each[0])
    return ChargeResult(
        accepted=False, limit=limit, used=window.total, again=None if again == math.inf else again
    )


def settle_all(
    charges: Sequence[Charge],
    windows: Mapping[Key, Window],
    *,
    prior: Mapping[int, str],
    now: float,
    text: RefusalText,
) -> list[ChargeResult]:
    """Settle *charges* in order; a repeated id gets its reply in *prior* or in this batch."""
    seen = dict(prior)
    results = []
    for charge in charges:
        if charge.id is not None and charge.id in seen:
            action = seen[charge.id]
            results.append(ChargeResult(accepted=not action, action=action, repeated=True))
            continue
        result = settle(charge, windows)
        if not result.accepted:
            result = ChargeResult(*result[:4], action=text(charge, result, now))
        if charge.id is not None:
            seen[charge.id] = result.action
        results.append(result)
    return results


def refusals(charges: Sequence[Charge], results: Sequence[ChargeResult]) -> list[tuple[int, str]]:
    """Return each id refused just now and its reply, to be kept for repeats."""
    return [
        (charge.id, result.action)
        for charge, result in zip(charges, results, strict=True)
        if charge.id is not None and result.action and not result.repeated
    ]
