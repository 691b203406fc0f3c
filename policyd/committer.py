"""Group commit: whatever arrives while a transaction runs is decided in the next one.

One thread talks to the database, one transaction at a time, so that the event
loop never waits and the cost of a commit is shared by all who came meanwhile.

When the store fails, or hangs for `PATIENCE_SECONDS`, a circuit opens: decisions
go on from local counters, or none are given (``on_store_loss``). The store is
tried again every `RETRY_SECONDS`; once it answers, what was counted locally is
added, and the circuit closes. One log line on loss, one on return.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from config.daemon.events import event
from policyd.background import Chores
from policyd.local_counters import LocalCounters
from store.engine import STATEMENT_MS
from store.errors import StoreUnavailable
from store.limits.counters import Counters
from store.limits.window import Charge, ChargeResult, LocalCharge, RefusalText

log = logging.getLogger("policyd")
# A transaction of this many takes some 20 ms: nobody waits long for the one before.
MAX_BATCH = 500
# A commit takes a millisecond, but a store that is merely busy must not be taken for a
# lost one: local counters are not exact between processes. With 0.2 s, four processes on
# a MariaDB under load 10 accepted 112 of a limit of 100. An SMTP client waits minutes.
PATIENCE_SECONDS = 1.0
RETRY_SECONDS = 1.0
# The database gives up a statement before (store.engine): what takes longer hears nothing.
HANG_SECONDS = STATEMENT_MS / 1000 + 1
# The last try to tell the store what was counted without it. Supervisors wait longer.
STOP_SECONDS = 2.0


class Ticket(Protocol):
    """Someone who waits for a verdict."""

    @property
    def charge(self) -> Charge:
        """What is asked."""

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for the verdict."""

    def settled(self, verdict: ChargeResult) -> None:
        """Take the verdict."""

    def failed(self) -> None:
        """Learn that there will be none."""


@dataclass(slots=True, eq=False)
class _Job:
    """Work for the thread: tickets to charge, or entries to restore."""

    tickets: Sequence[Ticket] = ()
    entries: Sequence[LocalCharge] = ()
    verdicts: Sequence[ChargeResult | None] = ()  # `None`: a bug of ours
    error: str = ""  # why the store could not
    # What of the tickets was accepted without the store, while this hung.
    meanwhile: Sequence[LocalCharge] = ()


class Committer:
    """The one who charges. Used from the event loop only."""

    def __init__(
        self,
        usage: Counters[Any],
        word: RefusalText,
        loop: asyncio.AbstractEventLoop,
        *,
        on_loss: Callable[[], Literal["local", "defer"]],
    ) -> None:
        self._usage = usage
        self._chores = Chores(usage)
        self._word = word
        self._loop = loop
        self._on_loss = on_loss
        self._waiting: list[Ticket] = []
        self._gathered = 0  # how many waited a turn of the loop ago
        self._last = 0  # how many the last transaction had
        self._scheduled = False  # whether `_next` will be called in this turn of the loop
        self._running: _Job | None = None
        self._began = 0.0  # when it did
        self._patience: asyncio.TimerHandle | None = None
        self._fallback: LocalCounters | None = None  # while the store is away
        self._lost_at = 0.0
        self._lost_since = 0.0  # the same by the clock
        self._closing = False  # the last of what was counted is on its way to the store
        self._telling: Sequence[LocalCharge] = ()  # what is on its way when we end
        self._stopping = False
        self._inbox: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="committer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, ticket: Ticket) -> None:
        """Charge *ticket* in the next transaction."""
        self._waiting.append(ticket)
        if not self._scheduled and (self._running is None or self.lost):
            # Not at once: what else this turn of the loop reads shall come along.
            self._soon()

    @property
    def idle(self) -> bool:
        """Whether nobody waits."""
        return self._running is None and not self._waiting

    @property
    def lost(self) -> bool:
        """Whether the store is away."""
        return self._fallback is not None

    def stop(self) -> None:
        """End the thread after what it does now and, in an outage, a last try to tell the store."""
        self._stopping = True
        self._inbox.put(None)
        self._thread.join(timeout=STOP_SECONDS)
        if self._fallback is None:
            return
        lost = self._fallback.counted + len(self._telling) + self._fallback.dropped
        if job := self._running:
            lost += len(job.entries) + len(job.meanwhile)
        _tell_lost(lost)

    def watch(self, now: float) -> None:
        """Give up what hangs; to be called now and then."""
        if self._running is not None and now - self._began > HANG_SECONDS:
            self._usage.cut()
            if self._fallback is None:
                self._lose(f"no answer in {HANG_SECONDS} s")

    # In the loop.

    def _soon(self) -> None:
        self._scheduled = True
        self._loop.call_soon(self._next)

    def _next(self) -> None:
        self._scheduled = False
        if self._fallback is not None:
            if not self._closing:
                batch, self._waiting = self._waiting, []
                self._without_store(batch, self._fallback)
        elif self._running is None and not self._gathering() and (wanted := self._batch()):
            self._charge(wanted)

    def _gathering(self) -> bool:
        """Return whether to wait another turn of the loop for more.

        Those answered last ask again one by one. Whoever misses this transaction waits
        for all of it, so it begins when a turn brings nobody.
        """
        waiting = len(self._waiting)
        if self._gathered < waiting < self._last:
            self._gathered = waiting
            self._soon()
            return True
        self._gathered = 0
        self._last = min(waiting, MAX_BATCH) or self._last
        return False

    def _batch(self) -> list[Ticket]:
        """Return the next tickets for whose verdict somebody still waits."""
        batch: list[Ticket] = []
        while self._waiting and not batch:
            first, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            batch = [ticket for ticket in first if ticket.wanted]
        return batch

    def _charge(self, batch: Sequence[Ticket]) -> None:
        self._start(_Job(tickets=batch))
        if self._on_loss() == "local":
            self._patience = self._loop.call_later(
                PATIENCE_SECONDS, self._lose, f"no answer in {PATIENCE_SECONDS} s"
            )

    def _start(self, job: _Job) -> None:
        self._running, self._began = job, self._loop.time()
        self._inbox.put(job)

    def _done(self, job: _Job) -> None:
        self._running = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._fallback is not None:
            self._tried(job, self._fallback)
        elif job.error:
            self._running = job  # as when it hangs: its tickets need another answer
            fallback = self._lose(job.error)
            self._running = None
            self._tried(job, fallback)
        else:
            for ticket, verdict in zip(job.tickets, job.verdicts, strict=True):
                if verdict is None:
                    ticket.failed()
                else:
                    ticket.settled(verdict)
            if self._waiting and not self._scheduled:
                self._soon()

    def _lose(self, reason: str) -> LocalCounters:
        """Open the circuit; who waits gets an answer without the store."""
        self._patience = None
        mode = self._on_loss()
        log.warning(event("store-lost", reason=reason, meanwhile=mode))
        self._lost_at, self._lost_since = self._loop.time(), time.time() - HANG_SECONDS
        self._fallback = fallback = LocalCounters(self._usage.seen, self._usage.offset)
        if self._running is not None:
            self._without_store(self._running.tickets, fallback)
            # The store may still take them: to be told to it only if it did not.
            self._running.meanwhile = fallback.take(len(self._running.tickets))
        batch, self._waiting = self._waiting, []
        self._without_store(batch, fallback)
        return fallback

    def _without_store(self, batch: Sequence[Ticket], fallback: LocalCounters) -> None:
        if self._on_loss() == "defer":
            for ticket in batch:
                ticket.failed()
            return
        charges = [ticket.charge for ticket in batch]
        verdicts = fallback.settle(charges, time.time(), self._word)
        for ticket, verdict in zip(batch, verdicts, strict=True):
            ticket.settled(verdict)

    def _retry(self) -> None:
        """Try the store: with what was counted, if anything."""
        if self._fallback is not None and self._running is None and not self._stopping:
            entries = self._fallback.take(MAX_BATCH)
            self._closing = self._fallback.counted == 0
            self._start(_Job(entries=entries))
            # A store that hangs must not hold those who come now.
            self._patience = self._loop.call_later(PATIENCE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._closing = False
        self._next()

    def _tried(self, job: _Job, fallback: LocalCounters) -> None:
        """See whether the store is back after *job*, which may have hung since the loss."""
        closing, self._closing = self._closing, False
        if job.error:
            fallback.put_back([*job.meanwhile, *job.entries])
            self._next()
            self._loop.call_later(RETRY_SECONDS, self._retry)
        elif job.tickets or not closing or fallback.counted:
            fallback.put_back(_untold(job))
            self._next()
            self._retry()
        else:
            away = round(self._loop.time() - self._lost_at, 1)
            self._fallback, self._chores.again = None, self._lost_since
            log.warning(event("store-back", away=away, decided_locally=fallback.decided))
            _tell_lost(fallback.dropped)
            self._next()

    # In the thread.

    def _work(self) -> None:
        while True:
            idle = self._chores.do_due(lost=self.lost)
            try:
                job = self._inbox.get(timeout=idle)
            except queue.Empty:
                continue
            if job is None:
                self._tell_rest()
                break
            self._do(job)
            try:
                self._loop.call_soon_threadsafe(self._done, job)
            except RuntimeError:  # the loop is closed: nobody waits any more
                break
        self._usage.close()

    def _do(self, job: _Job) -> None:
        try:
            verdicts = self._attempt(job.tickets, job.entries)
            if verdicts is None:  # one is poison: the others shall not suffer
                apart = [self._attempt([ticket], ()) for ticket in job.tickets]
                job.verdicts = [each[0] if each else None for each in apart]
                for entry in job.entries:
                    self._attempt((), [entry])
            else:
                job.verdicts = verdicts
        except StoreUnavailable as error:
            job.error = str(error) or type(error).__name__

    def _attempt(
        self, tickets: Sequence[Ticket], entries: Sequence[LocalCharge]
    ) -> Sequence[ChargeResult] | None:
        """Charge *tickets*, else restore *entries*; ``None`` after a bug of ours."""
        try:
            if tickets:
                return self._usage.charge([ticket.charge for ticket in tickets], self._word)
            self._usage.restore(entries)
        except StoreUnavailable:
            raise
        except Exception:  # a bug of ours must not end the thread
            log.exception(event("bug", at="charge"))
            return None
        return ()

    def _tell_rest(self) -> None:
        """Tell the store what was counted without it, before this process ends."""
        while self._fallback is not None and (entries := self._fallback.take(MAX_BATCH)):
            self._telling = entries  # should this hang, they are lost
            job = _Job(entries=entries)
            self._do(job)
            if job.error:
                return
            self._telling = ()
        if self._fallback is not None:
            self._chores.again = self._lost_since
            self._chores.give_back()


def _tell_lost(charges: int) -> None:
    if charges:
        log.error(event("counts-lost", charges=charges))


def _untold(job: _Job) -> list[LocalCharge]:
    """Return what was accepted while *job* hung, and then refused by the store."""
    refused = {
        ticket.charge
        for ticket, verdict in zip(job.tickets, job.verdicts, strict=True)
        if verdict is None or not verdict.accepted
    }
    return [each for each in job.meanwhile if each.charge in refused]
