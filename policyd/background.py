"""What the store's thread does between charges: it makes refunds and deletes expired rows.

Nothing while the store is unavailable. What fails is tried again later; nothing waits for it.
"""

import logging
import time
from typing import Any

from config.daemon.events import event
from store.errors import StoreUnavailable
from store.limits.counters import Counters

log = logging.getLogger("policyd")
# The charge of a message that was not accepted is refunded within this time.
REFUND_SECONDS = 0.5
# How often expired rows are looked for. While there are many, the next look comes after a
# pause only, in which decisions go first.
EXPIRY_SECONDS = 10.0
EXPIRY_PAUSE_SECONDS = 0.02


class BackgroundTasks:
    """For one thread; others may set `refund_since`."""

    def __init__(self, counters: Counters[Any]) -> None:
        self._counters = counters
        self._refund_at = self._expire_at = time.monotonic()
        # Unix seconds: look again for charges from then on, which came without the store.
        self.refund_since: float | None = None

    def run_due(self, *, lost: bool) -> float:
        """Run what is due, unless the store is *lost*; return the seconds until more is due."""
        now = time.monotonic()
        if now >= self._refund_at:
            self._refund_at = now + REFUND_SECONDS
            if not lost:
                self.refund()
        if now >= self._expire_at:
            deleted = 0 if lost else self._expire()
            self._expire_at = now + (EXPIRY_PAUSE_SECONDS if deleted else EXPIRY_SECONDS)
        return max(0.0, min(self._refund_at, self._expire_at) - time.monotonic())

    def refund(self) -> None:
        """Refund the charges of messages that were not accepted."""
        since = self.refund_since
        try:
            if since is not None or self._counters.has_refund_requests():
                self._counters.refund(since=since)
            if self.refund_since == since:
                self.refund_since = None
        except StoreUnavailable:
            pass  # they wait in the store
        except Exception:  # a bug must not end the thread
            log.exception(event("bug", at="refund"))

    def _expire(self) -> int:
        """Delete some expired rows; return how many."""
        try:
            return sum(self._counters.delete_expired())
        except StoreUnavailable:
            return 0  # the next charge will notice
        except Exception:  # a bug must not end the thread
            log.exception(event("bug", at="expiry"))
            return 0
