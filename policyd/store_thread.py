"""The one thread that talks to the database, one transaction at a time.

Between jobs it does the background tasks.
"""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

from config.daemon.events import event
from policyd.background import BackgroundTasks
from policyd.circuit import Circuit
from policyd.job import Job, Ticket
from store.errors import StoreUnavailable
from store.limits.counters import Counters
from store.limits.window import ChargeResult, LocalCharge, RefusalText

log = logging.getLogger("policyd")
# A transaction of this many takes some 20 ms, so the next batch never waits long.
MAX_BATCH = 500


class StoreThread:
    """Runs jobs in the order of `put`, and calls *on_done* with each, in its thread."""

    def __init__(
        self,
        counters: Counters[Any],
        refusal_text: RefusalText,
        circuit: Circuit,
        on_done: Callable[[Job], object],
    ) -> None:
        self.background = BackgroundTasks(counters)
        self._counters = counters
        self._refusal_text = refusal_text
        self._circuit = circuit
        self._on_done = on_done
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="committer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, job: Job) -> None:
        """Run *job* after those before it."""
        self._inbox.put(job)

    def stop(self, seconds: float) -> None:
        """End the thread after its current job; wait for it at most *seconds*.

        During an outage, it first tries once more to write the local counts.
        """
        self._inbox.put(None)
        self._thread.join(timeout=seconds)

    # In the thread.

    def _work(self) -> None:
        while True:
            idle = self.background.run_due(lost=self._circuit.local is not None)
            try:
                job = self._inbox.get(timeout=idle)
            except queue.Empty:
                continue
            if job is None:
                self._flush_local()
                break
            self._run(job)
            try:
                self._on_done(job)
            except RuntimeError:  # the loop is closed: nothing waits any more
                break
        self._counters.close()

    def _run(self, job: Job) -> None:
        try:
            results = self._attempt(job.tickets, job.local_charges)
            if results is None:  # one of them causes a bug: run each by itself
                apart = [self._attempt([ticket], ()) for ticket in job.tickets]
                job.results = [alone[0] if alone else None for alone in apart]
                for local_charge in job.local_charges:
                    self._attempt((), [local_charge])
            else:
                job.results = results
        except StoreUnavailable as error:
            job.error = str(error) or type(error).__name__

    def _attempt(
        self, tickets: Sequence[Ticket], local_charges: Sequence[LocalCharge]
    ) -> Sequence[ChargeResult] | None:
        """Charge *tickets*, or else add *local_charges*; ``None`` after a bug."""
        try:
            if tickets:
                charges = [ticket.charge for ticket in tickets]
                return self._counters.charge(charges, self._refusal_text)
            self._counters.restore(local_charges)
        except StoreUnavailable:
            raise
        except Exception:  # a bug must not end the thread
            log.exception(event("bug", at="charge"))
            return None
        return ()

    def _flush_local(self) -> None:
        """Add the local charges to the store before this process ends."""
        circuit = self._circuit
        while circuit.local is not None and (batch := circuit.local.take(MAX_BATCH)):
            circuit.in_flight = batch  # lost if this hangs
            job = Job(local_charges=batch)
            self._run(job)
            if job.error:
                return
            circuit.in_flight = ()
        if circuit.local is not None:
            self.background.refund_since = circuit.lost_since
            self.background.refund()
