"""What the thread that charges does in between: charges are given back, old rows forgotten.

Nothing while the store is away. What fails is tried again later; nobody waits for it.
"""

import logging
import time
from typing import Any

from config.daemon.events import event
from store.errors import StoreUnavailable
from store.limits.counters import Counters

log = logging.getLogger("policyd")
# What was not accepted is given back within this.
GIVE_SECONDS = 0.5
# Old rows are looked for this often, and at once again while there are many, with
# pauses in which decisions go first.
FORGET_SECONDS = 10.0
FORGET_PAUSE_SECONDS = 0.02


class Chores:
    """For one thread; others may set `again`."""

    def __init__(self, usage: Counters[Any]) -> None:
        self._usage = usage
        self._give_at = self._forget_at = time.monotonic()
        # Since when to look again for what was not found: its charge came without the store.
        self.again: float | None = None

    def do_due(self, *, lost: bool) -> float:
        """Do what is due, unless the store is *lost*; return in how many seconds more will be."""
        now = time.monotonic()
        if now >= self._give_at:
            self._give_at = now + GIVE_SECONDS
            if not lost:
                self.give_back()
        if now >= self._forget_at:
            some = 0 if lost else self._forget()
            self._forget_at = now + (FORGET_PAUSE_SECONDS if some else FORGET_SECONDS)
        return max(0.0, min(self._give_at, self._forget_at) - time.monotonic())

    def give_back(self) -> None:
        """Take back the charges of messages that were not accepted."""
        since = self.again
        try:
            if since is not None or self._usage.owes():
                self._usage.give_back(since=since)
            if self.again == since:
                self.again = None
        except StoreUnavailable:
            pass  # they wait in the store
        except Exception:  # a bug of ours must not end the thread
            log.exception(event("bug", at="refund"))

    def _forget(self) -> int:
        """Forget some old rows; return how many."""
        try:
            return self._usage.forget()
        except StoreUnavailable:
            return 0  # the next charge will tell
        except Exception:  # a bug of ours must not end the thread
            log.exception(event("bug", at="expiry"))
            return 0
