"""Local counters, which limit while the store is unavailable. Pure.

They start from the windows that this process saw last, so a restart of the database empties no
window. They cannot know what other processes accept meanwhile. What they accept is kept, to be
added to the store later.
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

# Some 300 bytes each: an hour of a busy campus. Charges beyond this are limited, but not
# added to the store.
MAX_COUNTED = 200_000
# Some 500 bytes each. A refused client tries again and again: the oldest are dropped, long
# after the second in which Postfix repeats a request.
MAX_REFUSED = 50_000


class LocalCounters:
    """The counters of one outage.

    One thread settles; another may `take` what was accepted.
    """

    def __init__(self, seen: Mapping[Key, Window], offset: float) -> None:
        self._seen = seen
        self._offset = offset  # seconds from our clock to the store's, which windows follow
        self._windows: dict[Key, Window] = {}
        # Replies by message id, oldest first; apart, so that retries do not crowd out mail.
        self._passed: OrderedDict[int, str] = OrderedDict()
        self._refused: OrderedDict[int, str] = OrderedDict()
        self._accepted: deque[LocalCharge] = deque()
        self.decided = 0
        self.dropped = 0  # accepted, but lost to the store: beyond `MAX_COUNTED`

    def settle(
        self, charges: Sequence[Charge], now: float, refusal_text: RefusalText
    ) -> list[ChargeResult]:
        """Settle *charges* as the store would, from what this process knows.

        *now* is Unix seconds by our clock.
        """
        now += self._offset
        windows = {key: self._window(key, now) for key in keys_of(charges)}
        ids = {charge.id for charge in charges if charge.id is not None}
        prior = {id_: action for id_ in ids if (action := self._prior(id_)) is not None}
        results = settle_all(charges, windows, prior=prior, now=now, text=refusal_text)
        for charge, result in zip(charges, results, strict=True):
            if not result.repeated:
                self._remember(charge, result, now - self._offset)
        self.decided += len(charges)
        return results

    def take(self, most: int) -> list[LocalCharge]:
        """Remove up to *most* accepted charges, oldest first, and return them."""
        count = min(most, len(self._accepted))
        return [self._accepted.popleft() for _ in range(count)]

    def put_back(self, charges: Sequence[LocalCharge]) -> None:
        """Take back *charges* that could not be added to the store."""
        self._accepted.extendleft(reversed(charges))

    @property
    def counted(self) -> int:
        """How many accepted charges are still to be added to the store."""
        return len(self._accepted)

    def _prior(self, id_: int) -> str | None:
        """Return the reply that message *id_* got before."""
        passed = self._passed.get(id_)
        return self._refused.get(id_) if passed is None else passed

    def _remember(self, charge: Charge, result: ChargeResult, at: float) -> None:
        if result.accepted:
            if len(self._accepted) < MAX_COUNTED:
                self._accepted.append(LocalCharge(charge, at))
            else:
                self.dropped += 1
        if charge.id is not None:
            if result.accepted:
                _keep(self._passed, charge.id, "", most=MAX_COUNTED)
            else:
                _keep(self._refused, charge.id, result.action, most=MAX_REFUSED)

    def _window(self, key: Key, now: float) -> Window:
        window = self._windows.get(key)
        if window is None:
            seen = self._seen.get(key)
            span = key[1]
            window = Window(span, slot_of(now, span)) if seen is None else seen.copy()
            self._windows[key] = window
        window.advance(now)
        return window


def _keep(replies: OrderedDict[int, str], id_: int, action: str, *, most: int) -> None:
    """Remember *action*; forget the oldest beyond *most*."""
    replies[id_] = action
    if len(replies) > most:
        replies.popitem(last=False)
