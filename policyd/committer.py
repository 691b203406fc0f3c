"""Group commit: whatever arrives while a transaction runs is decided in the next one.

The event loop never waits for the database (`policyd.store_thread` does), and all who came
meanwhile share the cost of a commit.

When the store fails, or hangs for `PATIENCE_SECONDS`, the circuit opens (`policyd.circuit`).
The store is tried again every `RETRY_SECONDS`; once it answers, what was accepted locally is
added to it, and the circuit closes.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal

from policyd.circuit import HANG_SECONDS, Circuit
from policyd.job import Job, Ticket
from policyd.local_counters import LocalCounters
from policyd.store_thread import MAX_BATCH, StoreThread
from store.limits.counters import Counters
from store.limits.window import RefusalText

# A commit takes a millisecond, but a store that is merely busy must not be taken for a
# lost one: local counters are not exact between processes. With 0.2 s, four processes on
# a MariaDB under load 10 accepted 112 of a limit of 100. An SMTP client waits minutes.
PATIENCE_SECONDS = 1.0
RETRY_SECONDS = 1.0
# For the last attempt to write the local counts. Supervisors wait longer.
STOP_SECONDS = 2.0


class Committer:
    """Charges tickets in batches. Used from the event loop only."""

    def __init__(
        self,
        counters: Counters[Any],
        refusal_text: RefusalText,
        loop: asyncio.AbstractEventLoop,
        *,
        on_loss: Callable[[], Literal["local", "defer"]],
    ) -> None:
        self._counters = counters
        self._loop = loop
        self._circuit = Circuit(counters, refusal_text, loop, on_loss=on_loss)
        self._thread = StoreThread(counters, refusal_text, self._circuit, self._on_done)
        self._waiting: list[Ticket] = []
        self._gathered = 0  # how many were waiting one turn of the loop ago
        self._last = 0  # the size of the last transaction
        self._scheduled = False  # whether `_next` will be called in this turn of the loop
        self._running: Job | None = None
        self._began = 0.0  # when `_running` did, by the loop's clock
        self._patience: asyncio.TimerHandle | None = None
        self._closing = False  # the last of the local charges are on their way to the store
        self._stopping = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, ticket: Ticket) -> None:
        """Charge *ticket* in the next transaction."""
        self._waiting.append(ticket)
        if not self._scheduled and (self._running is None or self.lost):
            # Not at once: this turn of the loop may read more, which can share the transaction.
            self._schedule()

    @property
    def idle(self) -> bool:
        """Whether no ticket waits."""
        return self._running is None and not self._waiting

    @property
    def lost(self) -> bool:
        """Whether the store is unavailable."""
        return self._circuit.local is not None

    def stop(self) -> None:
        """Stop the thread after its current job.

        During an outage, first try once more to write the local counts.
        """
        self._stopping = True
        self._thread.stop(STOP_SECONDS)
        self._circuit.log_unrecorded(self._running)

    def watch(self, now: float) -> None:
        """Abort a transaction that hangs at *now* of the loop's clock. Call this regularly."""
        if self._running is not None and now - self._began > HANG_SECONDS:
            self._counters.abort_connections()
            if not self.lost:
                self._lose(f"no answer in {HANG_SECONDS} s")

    # Batches.

    def _schedule(self) -> None:
        self._scheduled = True
        self._loop.call_soon(self._next)

    def _next(self) -> None:
        self._scheduled = False
        if (local := self._circuit.local) is not None:
            if not self._closing:
                batch, self._waiting = self._waiting, []
                self._circuit.answer(batch, local)
        elif self._running is None and not self._gather() and (batch := self._next_batch()):
            self._charge(batch)

    def _gather(self) -> bool:
        """Return whether to wait another turn of the loop for more tickets.

        The peers of the last transaction ask again one by one. A request that misses this
        transaction waits for all of it, so it begins once a turn brings no further request.
        """
        waiting = len(self._waiting)
        if self._gathered < waiting < self._last:
            self._gathered = waiting
            self._schedule()
            return True
        self._gathered = 0
        self._last = min(waiting, MAX_BATCH) or self._last
        return False

    def _next_batch(self) -> list[Ticket]:
        """Return the next tickets whose peers still wait."""
        batch: list[Ticket] = []
        while self._waiting and not batch:
            first, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            batch = [ticket for ticket in first if ticket.wanted]
        return batch

    def _charge(self, batch: Sequence[Ticket]) -> None:
        self._start(Job(tickets=batch))
        if self._circuit.on_loss() == "local":
            self._patience = self._loop.call_later(
                PATIENCE_SECONDS, self._lose, f"no answer in {PATIENCE_SECONDS} s"
            )

    def _start(self, job: Job) -> None:
        self._running, self._began = job, self._loop.time()
        self._thread.put(job)

    def _on_done(self, job: Job) -> None:
        """Continue in the loop; called in the thread."""
        self._loop.call_soon_threadsafe(self._done, job)

    def _done(self, job: Job) -> None:
        self._running = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if (local := self._circuit.local) is not None:
            self._finish_attempt(job, local)
        elif job.error:
            self._running = job  # as when it hangs: its tickets need another answer
            local = self._lose(job.error)
            self._running = None
            self._finish_attempt(job, local)
        else:
            for ticket, result in zip(job.tickets, job.results, strict=True):
                if result is None:
                    ticket.fail()
                else:
                    ticket.settle(result)
            if self._waiting and not self._scheduled:
                self._schedule()

    # Outages.

    def _lose(self, reason: str) -> LocalCounters:
        """Open the circuit, and answer all tickets without the store."""
        self._patience = None
        local = self._circuit.open(reason)
        if self._running is not None:
            self._circuit.answer(self._running.tickets, local)
            # The store may still accept them; they are added to it only if it does not.
            self._running.meanwhile = local.take(len(self._running.tickets))
        batch, self._waiting = self._waiting, []
        self._circuit.answer(batch, local)
        return local

    def _retry(self) -> None:
        """Try the store, with local charges if there are any."""
        local = self._circuit.local
        if local is not None and self._running is None and not self._stopping:
            batch = local.take(MAX_BATCH)
            self._closing = local.counted == 0
            self._start(Job(local_charges=batch))
            # If the store hangs, requests that come now are answered without it.
            self._patience = self._loop.call_later(PATIENCE_SECONDS, self._give_up_closing)

    def _give_up_closing(self) -> None:
        self._closing = False
        self._next()

    def _finish_attempt(self, job: Job, local: LocalCounters) -> None:
        """Close the circuit, or try again, after *job*, which may have hung since it opened."""
        closing, self._closing = self._closing, False
        if job.error:
            local.put_back([*job.meanwhile, *job.local_charges])
            self._next()
            self._loop.call_later(RETRY_SECONDS, self._retry)
        elif job.tickets or not closing or local.counted:
            local.put_back(job.unrecorded())
            self._next()
            self._retry()
        else:
            self._thread.background.refund_since = self._circuit.lost_since
            self._circuit.close(local)
            self._next()
