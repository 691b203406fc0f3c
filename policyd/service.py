"""What the connections share: facts, counters, time. Everything in the event loop's thread."""

import asyncio
import logging
import time
from typing import Any, Final, Literal

from config.daemon.events import event
from policyd import action
from policyd.committer import Committer
from policyd.connections import Connection
from policyd.context import Decision
from policyd.decide import decide
from policyd.decision_log import DecisionLog
from policyd.facts import Facts
from policyd.request import Request
from policyd.tally import TALLY_SECONDS, Tally
from store.limits.counters import Counters
from store.limits.window import Charge, ChargeResult

log = logging.getLogger("policyd")
# Postfix opens at most one per smtpd process and service; 100 smtpd are its default.
MAX_CONNECTIONS: Final = 1000
# How often deadlines are looked at: a late close comes at most this much later.
SWEEP_SECONDS = 0.25
# A flood of connections must not become one of log lines.
FULL_SECONDS = 60.0
# Texts of refusals, half a kilobyte each.
REMEMBERED_WORDS = 4096
_QUARTER = 900  # every midnight of the world is at a quarter of an hour (UTC)


class Service:
    """One process's policy service."""

    def __init__(
        self,
        facts: Facts,
        usage: Counters[Any],
        *,
        loop: asyncio.AbstractEventLoop,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.facts = facts
        self.loop = loop
        self.connections: set[Connection] = set()
        self.committer = Committer(usage, self._word, loop, on_loss=self._on_loss)
        self.journal = DecisionLog(loop)
        self.tally = Tally()
        self._max_connections = max_connections
        self._words: dict[tuple[object, ...], str] = {}  # under these facts
        self._sweeper: asyncio.TimerHandle | None = None
        self._tell_at = loop.time() + TALLY_SECONDS
        self._full_again = loop.time()  # when to say again that there is no room

    def under(self, facts: Facts) -> None:
        """Decide by *facts* from now on."""
        # The old words hold the old help pages. A new place for the new ones: the
        # committer's thread may be about to keep one more of the old.
        self.facts, self._words = facts, {}

    def start(self) -> None:
        """Start to charge, and to watch deadlines."""
        self.committer.start()
        self._sweep()

    def stop(self) -> None:
        """Stop both."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        self.committer.stop()
        self.journal.flush()
        self._tell()

    def connection(self) -> Connection:
        """Make the protocol object of a new connection."""
        return Connection(self)

    def admit(self, connection: Connection) -> None:
        """Take *connection* in; when full, instead of the one that is missed least.

        Postfix connects again when a connection that it kept is gone; to turn away
        who comes would stop all mail for as long as the others stay.
        """
        if len(self.connections) >= self._max_connections:
            self._tell_full()
            least = min(self.connections, key=lambda each: each.worth)
            self.connections.discard(least)
            least.abort()
        self.connections.add(connection)

    def decided(self, request: Request) -> Decision | Charge:
        """Decide *request*; a charge still needs its verdict."""
        found = decide(request, self.facts, time.time())
        if isinstance(found, Charge):
            self.tally.asked(request.state)
            return found
        if found.from_our_user:
            self.tally.asked(request.state)
        if found.cause:
            self.journal.answered(request, found)
        self.tally.causes[found.cause or "pass"] += 1
        return found

    def said(self, request: Request, verdict: ChargeResult) -> str:
        """Return the action that *verdict* means, and log it."""
        refused = bool(verdict.action)
        observed = refused and self.facts.settings.limits.mode == "observe"
        text = verdict.action if refused and not observed else action.DUNNO
        cause = "would-refuse" if observed else "over-limit" if refused else "limit"
        self.tally.causes[cause] += 1
        where = " counted=locally" if self.committer.lost else ""
        self.journal.charged(request, verdict, cause=cause + where, action=text)
        return text

    @property
    def busy(self) -> bool:
        """Whether any question has no answer yet."""
        return not self.committer.idle or any(each.waiting for each in self.connections)

    def _on_loss(self) -> Literal["local", "defer"]:
        return self.facts.settings.limits.on_store_loss

    def _word(self, charge: Charge, verdict: ChargeResult, now: float) -> str:
        """Return the text of a refusal. Called in the committer's thread."""
        # First: no text of old facts may come among those of the new.
        words = self._words
        facts = self.facts
        # A client over its limit tries often, and is told the same until the hour strikes.
        same = (verdict.limit, verdict.used, verdict.again, charge.amount, now // _QUARTER)
        text = words.get(same)
        if text is None:
            text = action.over_limit(charge, verdict, now, settings=facts.settings, zone=facts.zone)
            if len(words) >= REMEMBERED_WORDS:
                words.clear()
            words[same] = text
        return text

    def _tell_full(self) -> None:
        now = self.loop.time()
        if now >= self._full_again:
            self._full_again = now + FULL_SECONDS
            log.warning(event("too-many-connections", limit=self._max_connections))

    def _sweep(self) -> None:
        # First: a bug in one round must not be the end of all deadlines.
        self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)
        now = self.loop.time()
        for connection in tuple(self.connections):
            if connection.overdue(now):
                log.warning(event("deadline", waiting=connection.waiting))
                connection.abort()
        self.committer.watch(now)
        if warning := self.tally.misuse(self.facts.settings.limits):
            log.warning(warning)
        if now >= self._tell_at:
            self._tell_at = now + TALLY_SECONDS
            self._tell()

    def _tell(self) -> None:
        if line := self.tally.summary():
            log.info(line)
