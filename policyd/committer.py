"""Group commit: whatever arrives while a transaction runs is decided in the next one.

One thread talks to the database, one transaction at a time, so that the event
loop never waits and the cost of a commit is shared by all who came meanwhile.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from store.errors import StoreUnavailable
from store.usage import Usage
from store.window import Charge, Verdict, Word

log = logging.getLogger("policyd")
# A transaction of this many takes some 20 ms: nobody waits long for the one before.
MAX_BATCH = 500


class Ticket(Protocol):
    """Someone who waits for a verdict."""

    @property
    def charge(self) -> Charge:
        """What is asked."""

    def settled(self, verdict: Verdict) -> None:
        """Take the verdict."""

    def failed(self) -> None:
        """Learn that there will be none."""


class _Result(NamedTuple):
    batch: Sequence[Ticket]
    verdicts: list[Verdict] | None


class Committer:
    """The one who charges. Used from the event loop only."""

    def __init__(self, usage: Usage, word: Word, loop: asyncio.AbstractEventLoop) -> None:
        self._usage = usage
        self.word = word
        self._loop = loop
        self._waiting: list[Ticket] = []
        self._busy = False
        self._inbox: queue.SimpleQueue[Sequence[Ticket] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="committer", daemon=True)
        self.lost: Callable[[Sequence[Ticket]], None] = _fail_all

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, ticket: Ticket) -> None:
        """Charge *ticket* in the next transaction."""
        self._waiting.append(ticket)
        if not self._busy:
            # Not at once: what else this turn of the loop reads shall come along.
            self._busy = True
            self._loop.call_soon(self._next)

    @property
    def idle(self) -> bool:
        """Whether nobody waits."""
        return not self._busy

    def stop(self) -> None:
        """End the thread after what it does now."""
        self._inbox.put(None)
        self._thread.join(timeout=1)

    def _next(self) -> None:
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        if batch:
            self._inbox.put(batch)
        else:
            self._busy = False

    def _work(self) -> None:
        while (batch := self._inbox.get()) is not None:
            result = _Result(batch, self._charged(batch))
            try:
                self._loop.call_soon_threadsafe(self._done, result)
            except RuntimeError:  # the loop is closed: nobody waits any more
                break
        self._usage.close()

    def _charged(self, batch: Sequence[Ticket]) -> list[Verdict] | None:
        try:
            return self._usage.charge([ticket.charge for ticket in batch], self.word)
        except StoreUnavailable as error:
            log.warning("store=lost reason=%r", str(error))
        except Exception:  # a bug of ours must not end the thread
            log.exception("charging failed")
        return None

    def _done(self, result: _Result) -> None:
        batch, verdicts = result
        # First the next transaction, then the answers: the disk works while we write.
        self._next()
        if verdicts is None:
            self.lost(batch)
            return
        for ticket, verdict in zip(batch, verdicts, strict=True):
            ticket.settled(verdict)


def _fail_all(batch: Sequence[Ticket]) -> None:
    for ticket in batch:
        ticket.failed()
