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

from config.logs import fields
from policyd.fallback import Fallback
from store.errors import StoreUnavailable
from store.usage import Usage
from store.window import Charge, Counted, Verdict, Word

log = logging.getLogger("policyd")
# A transaction of this many takes some 20 ms: nobody waits long for the one before.
MAX_BATCH = 500
# A commit takes a millisecond, but a store that is merely busy must not be taken for a
# lost one: local counters are not exact between processes. With 0.2 s, four processes on
# a MariaDB under load 10 accepted 112 of a limit of 100. An SMTP client waits minutes.
PATIENCE_SECONDS = 1.0
RETRY_SECONDS = 1.0
# Old rows are looked for this often, and at once again while there are many, with
# pauses in which decisions go first.
FORGET_SECONDS = 10.0
FORGET_PAUSE_SECONDS = 0.02


class Ticket(Protocol):
    """Someone who waits for a verdict."""

    @property
    def charge(self) -> Charge:
        """What is asked."""

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for the verdict."""

    def settled(self, verdict: Verdict) -> None:
        """Take the verdict."""

    def failed(self) -> None:
        """Learn that there will be none."""


@dataclass(slots=True, eq=False)
class _Job:
    """Work for the thread: tickets to charge, or entries to restore."""

    tickets: Sequence[Ticket] = ()
    entries: Sequence[Counted] = ()
    verdicts: Sequence[Verdict] = ()
    error: str = ""  # why the store could not
    bug: bool = False  # why we could not: the store is not to blame


class Committer:
    """The one who charges. Used from the event loop only."""

    def __init__(
        self,
        usage: Usage[Any],
        word: Word,
        loop: asyncio.AbstractEventLoop,
        *,
        on_loss: Callable[[], Literal["local", "defer"]],
    ) -> None:
        self._usage = usage
        self._word = word
        self._loop = loop
        self._on_loss = on_loss
        self._waiting: list[Ticket] = []
        self._scheduled = False  # whether `_next` will be called in this turn of the loop
        self._running: _Job | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._fallback: Fallback | None = None  # while the store is away
        self._lost_at = 0.0
        self._closing = False  # the last of what was counted is on its way to the store
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
            self._scheduled = True
            self._loop.call_soon(self._next)

    @property
    def idle(self) -> bool:
        """Whether nobody waits."""
        return self._running is None and not self._waiting

    @property
    def lost(self) -> bool:
        """Whether the store is away."""
        return self._fallback is not None

    def stop(self) -> None:
        """End the thread after what it does now."""
        self._inbox.put(None)
        self._thread.join(timeout=1)

    # In the loop.

    def _next(self) -> None:
        self._scheduled = False
        if self._fallback is not None:
            if not self._closing:
                batch, self._waiting = self._waiting, []
                self._without_store(batch, self._fallback)
        elif self._running is None and self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            self._charge([ticket for ticket in batch if ticket.wanted])

    def _charge(self, batch: Sequence[Ticket]) -> None:
        if not batch:
            self._next()
            return
        self._start(_Job(tickets=batch))
        if self._on_loss() == "local":
            self._patience = self._loop.call_later(
                PATIENCE_SECONDS, self._lose, f"no answer in {PATIENCE_SECONDS} s"
            )

    def _start(self, job: _Job) -> None:
        self._running = job
        self._inbox.put(job)

    def _done(self, job: _Job) -> None:
        self._running = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._fallback is not None:
            self._tried(job, self._fallback)
        elif job.bug:
            self._next()
            for ticket in job.tickets:
                ticket.failed()
        elif job.error:
            self._running = job  # as when it hangs: its tickets need another answer
            self._lose(job.error)
            self._running = None
            self._loop.call_later(RETRY_SECONDS, self._retry)
        else:
            # First the next transaction, then the answers: the disk works while we write.
            self._next()
            for ticket, verdict in zip(job.tickets, job.verdicts, strict=True):
                ticket.settled(verdict)

    def _lose(self, reason: str) -> None:
        """Open the circuit; who waits gets an answer without the store."""
        self._patience = None
        mode = self._on_loss()
        log.warning(fields(event="store-lost", reason=reason, meanwhile=mode))
        self._lost_at = self._loop.time()
        self._fallback = Fallback(self._usage.seen, self._usage.offset)
        batch = [*(self._running.tickets if self._running else ()), *self._waiting]
        self._waiting = []
        self._without_store(batch, self._fallback)

    def _without_store(self, batch: Sequence[Ticket], fallback: Fallback) -> None:
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
        if self._fallback is not None and self._running is None:
            entries = self._fallback.take(MAX_BATCH)
            self._closing = self._fallback.counted == 0
            self._start(_Job(entries=entries))
            # A store that hangs must not hold those who come now.
            self._patience = self._loop.call_later(PATIENCE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._closing = False
        self._next()

    def _tried(self, job: _Job, fallback: Fallback) -> None:
        """See whether the store is back after *job*, which may have hung since the loss."""
        closing, self._closing = self._closing, False
        if job.error:
            fallback.put_back(job.entries)
            self._next()
            self._loop.call_later(RETRY_SECONDS, self._retry)
        elif job.tickets or not closing or fallback.counted:
            self._next()
            self._retry()
        else:
            away = round(self._loop.time() - self._lost_at, 1)
            self._fallback = None
            log.warning(fields(event="store-back", away=away, decided_locally=fallback.decided))
            self._next()

    # In the thread.

    def _work(self) -> None:
        forget_at = time.monotonic()
        while True:
            try:
                job = self._inbox.get(timeout=max(0.0, forget_at - time.monotonic()))
            except queue.Empty:
                forget_at = self._forget()
                continue
            if job is None:
                break
            self._do(job)
            try:
                self._loop.call_soon_threadsafe(self._done, job)
            except RuntimeError:  # the loop is closed: nobody waits any more
                break
            if time.monotonic() >= forget_at:
                forget_at = self._forget()
        self._usage.close()

    def _do(self, job: _Job) -> None:
        try:
            if job.tickets:
                charges = [ticket.charge for ticket in job.tickets]
                job.verdicts = self._usage.charge(charges, self._word)
            else:
                self._usage.restore(job.entries)
        except StoreUnavailable as error:
            job.error = str(error) or type(error).__name__
        except Exception:  # a bug of ours must not end the thread
            log.exception("charging failed")
            job.bug = True

    def _forget(self) -> float:
        """Forget some old rows; return when to look again."""
        now = time.monotonic()
        try:
            some = self._usage.forget() if self._fallback is None else 0
        except StoreUnavailable:
            some = 0  # the next charge will tell
        return now + (FORGET_PAUSE_SECONDS if some else FORGET_SECONDS)
