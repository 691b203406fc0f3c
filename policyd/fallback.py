"""Limits that go on while the store is away: local counters, remembered for its return. Pure.

They start from what this process saw last, so nobody gets a window anew because
a database was restarted; what other processes accept meanwhile they cannot know.
"""

from collections.abc import Mapping, Sequence

from store.window import (
    Charge,
    Counted,
    Key,
    Verdict,
    Window,
    Word,
    keys_of,
    settle_all,
    slot_of,
)

# Some 300 bytes each. An hour of a busy campus; what comes beyond is limited, but
# not added to the store.
MAX_COUNTED = 200_000


class Fallback:
    """The counters of one outage."""

    def __init__(self, seen: Mapping[Key, Window], offset: float) -> None:
        self._seen = seen
        self._offset = offset  # of the store's clock, which the windows go by
        self._windows: dict[Key, Window] = {}
        self._told: dict[int, str] = {}
        self._accepted: list[Counted] = []
        self.decided = 0

    def settle(self, charges: Sequence[Charge], now: float, word: Word) -> list[Verdict]:
        """Settle *charges* as the store would, on what is known here."""
        now += self._offset
        windows = {key: self._window(key, now) for key in keys_of(charges)}
        verdicts = settle_all(charges, windows, told=self._told, now=now, word=word)
        for charge, verdict in zip(charges, verdicts, strict=True):
            if verdict.repeated or len(self._told) >= MAX_COUNTED:
                continue
            if charge.id is not None:
                self._told[charge.id] = verdict.action
            if verdict.accepted:
                self._accepted.append(Counted(charge, now - self._offset))
        self.decided += len(charges)
        return verdicts

    def take(self, most: int) -> list[Counted]:
        """Take up to *most* of what was accepted, oldest first."""
        taken, self._accepted = self._accepted[:most], self._accepted[most:]
        return taken

    def put_back(self, entries: Sequence[Counted]) -> None:
        """Return what could not be added to the store."""
        self._accepted[:0] = entries

    @property
    def counted(self) -> int:
        """How many accepted charges the store does not know."""
        return len(self._accepted)

    def _window(self, key: Key, now: float) -> Window:
        window = self._windows.get(key)
        if window is None:
            seen = self._seen.get(key)
            span = key[1]
            window = Window(span, slot_of(now, span)) if seen is None else seen.copy()
            self._windows[key] = window
        window.advance(now)
        return window
