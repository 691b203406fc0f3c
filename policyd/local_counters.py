"""Limits that go on while the store is away: local counters, remembered for its return. Pure.

They start from what this process saw last, so nobody gets a window anew because
a database was restarted; what other processes accept meanwhile they cannot know.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence

from store.limits.window import (
    Charge,
    ChargeResult,
    Key,
    LocalCharge,
    RefusalText,
    Window,
    keys_of,
    settle_all,
    slot_of,
)

# Some 300 bytes each. An hour of a busy campus; what comes beyond is limited, but
# not added to the store.
MAX_COUNTED = 200_000
# Some 500 bytes each. Who is refused tries again and again: the oldest go, long after
# the second in which Postfix repeats a question.
MAX_REFUSED = 50_000


class LocalCounters:
    """The counters of one outage.

    What was accepted may be taken in another thread than the one that settles: by one at a time.
    """

    def __init__(self, seen: Mapping[Key, Window], offset: float) -> None:
        self._seen = seen
        self._offset = offset  # of the store's clock, which the windows go by
        self._windows: dict[Key, Window] = {}
        # What messages were told, oldest first; apart, so that tries do not crowd out mail.
        self._passed: OrderedDict[int, str] = OrderedDict()
        self._refused: OrderedDict[int, str] = OrderedDict()
        self._accepted: deque[LocalCharge] = deque()
        self.decided = 0
        self.dropped = 0  # accepted, and not to be added to the store: there was no room

    def settle(
        self, charges: Sequence[Charge], now: float, word: RefusalText
    ) -> list[ChargeResult]:
        """Settle *charges* as the store would, on what is known here."""
        now += self._offset
        windows = {key: self._window(key, now) for key in keys_of(charges)}
        ids = {charge.id for charge in charges if charge.id is not None}
        told = {each: action for each in ids if (action := self._told(each)) is not None}
        verdicts = settle_all(charges, windows, told=told, now=now, word=word)
        for charge, verdict in zip(charges, verdicts, strict=True):
            if not verdict.repeated:
                self._remember(charge, verdict, now - self._offset)
        self.decided += len(charges)
        return verdicts

    def take(self, most: int) -> list[LocalCharge]:
        """Take up to *most* of what was accepted, oldest first."""
        count = min(most, len(self._accepted))
        return [self._accepted.popleft() for _ in range(count)]

    def put_back(self, entries: Sequence[LocalCharge]) -> None:
        """Return what could not be added to the store."""
        self._accepted.extendleft(reversed(entries))

    @property
    def counted(self) -> int:
        """How many accepted charges the store does not know."""
        return len(self._accepted)

    def _told(self, name: int) -> str | None:
        passed = self._passed.get(name)
        return self._refused.get(name) if passed is None else passed

    def _remember(self, charge: Charge, verdict: ChargeResult, at: float) -> None:
        if verdict.accepted:
            if len(self._accepted) < MAX_COUNTED:
                self._accepted.append(LocalCharge(charge, at))
            else:
                self.dropped += 1
        if charge.id is not None:
            if verdict.accepted:
                _keep(self._passed, charge.id, "", most=MAX_COUNTED)
            else:
                _keep(self._refused, charge.id, verdict.action, most=MAX_REFUSED)

    def _window(self, key: Key, now: float) -> Window:
        window = self._windows.get(key)
        if window is None:
            seen = self._seen.get(key)
            span = key[1]
            window = Window(span, slot_of(now, span)) if seen is None else seen.copy()
            self._windows[key] = window
        window.advance(now)
        return window


def _keep(told: OrderedDict[int, str], name: int, action: str, *, most: int) -> None:
    """Remember *action*; forget the oldest beyond *most*."""
    told[name] = action
    if len(told) > most:
        told.popitem(last=False)
