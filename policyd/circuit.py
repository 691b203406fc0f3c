"""The circuit breaker: what happens to decisions while the store is unavailable.

It opens when the store fails or hangs. While it is open, decisions come from local counters,
or there are none (`limits.on_store_loss`). It closes once the store knows what was accepted
without it. One log line when it opens, one when it closes.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from config.daemon.events import event
from policyd.job import Job, Ticket
from policyd.local_counters import LocalCounters
from store.engine import STATEMENT_MS
from store.limits.counters import Counters
from store.limits.window import LocalCharge, RefusalText

log = logging.getLogger("policyd")
# The database aborts a statement before (store.engine): after this no answer will come.
HANG_SECONDS = STATEMENT_MS / 1000 + 1


class Circuit:
    """Open while the store is unavailable. For the event loop, unless a method says otherwise."""

    def __init__(
        self,
        counters: Counters[Any],
        refusal_text: RefusalText,
        loop: asyncio.AbstractEventLoop,
        *,
        on_loss: Callable[[], Literal["local", "defer"]],
    ) -> None:
        self.on_loss = on_loss
        self.local: LocalCounters | None = None  # while it is open
        # Unix seconds: charges made from then on may not be in the store.
        self.lost_since = 0.0
        # Being written to the store while the process ends.
        self.in_flight: Sequence[LocalCharge] = ()
        self._counters = counters
        self._refusal_text = refusal_text
        self._loop = loop
        self._opened_at = 0.0

    def open(self, reason: str) -> LocalCounters:
        """Return new local counters, which decide from now on."""
        log.warning(event("store-lost", reason=reason, meanwhile=self.on_loss()))
        self._opened_at, self.lost_since = self._loop.time(), time.time() - HANG_SECONDS
        self.local = LocalCounters(self._counters.seen, self._counters.offset)
        return self.local

    def close(self, local: LocalCounters) -> None:
        """Leave decisions to the store again; it knows all that *local* could hold."""
        self.local = None
        seconds = round(self._loop.time() - self._opened_at, 1)
        log.warning(event("store-back", away=seconds, decided_locally=local.decided))
        _log_lost(local.dropped)

    def answer(self, tickets: Sequence[Ticket], local: LocalCounters) -> None:
        """Answer *tickets* without the store."""
        if self.on_loss() == "defer":
            for ticket in tickets:
                ticket.fail()
            return
        charges = [ticket.charge for ticket in tickets]
        results = local.settle(charges, time.time(), self._refusal_text)
        for ticket, result in zip(tickets, results, strict=True):
            ticket.settle(result)

    def log_unrecorded(self, running: Job | None) -> None:
        """Log how many charges the store will never know; *running* did not end."""
        if self.local is None:
            return
        lost = self.local.counted + len(self.in_flight) + self.local.dropped
        if running is not None:
            lost += len(running.local_charges) + len(running.meanwhile)
        _log_lost(lost)


def _log_lost(charges: int) -> None:
    if charges:
        log.error(event("counts-lost", charges=charges))
