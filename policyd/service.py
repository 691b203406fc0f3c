"""What the connections share: facts, counters, time. Everything in the event loop's thread."""

import asyncio
import logging
import time
from typing import Final

from config.logs import fields
from policyd import action
from policyd.committer import Committer
from policyd.connection import Connection
from policyd.decide import decide
from policyd.facts import Answer, Facts
from policyd.journal import Journal
from policyd.request import Request
from store.usage import Usage
from store.window import Charge, Verdict

log = logging.getLogger("policyd")
# Postfix opens at most one per smtpd process and service; 100 smtpd are its default.
MAX_CONNECTIONS: Final = 1000
# How often deadlines are looked at: a late close comes at most this much later.
SWEEP_SECONDS = 0.25


class Service:
    """One process's policy service."""

    def __init__(
        self,
        facts: Facts,
        usage: Usage,
        *,
        loop: asyncio.AbstractEventLoop,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.facts = facts
        self.loop = loop
        self.connections: set[Connection] = set()
        self.committer = Committer(usage, self._word, loop)
        self.journal = Journal(loop)
        self._max_connections = max_connections
        self._sweeper: asyncio.TimerHandle | None = None

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

    def connection(self) -> Connection:
        """Make the protocol object of a new connection."""
        return Connection(self)

    def admit(self, connection: Connection) -> bool:
        """Take *connection* in if there is room."""
        if len(self.connections) >= self._max_connections:
            log.warning(fields(event="too-many-connections", limit=self._max_connections))
            return False
        self.connections.add(connection)
        return True

    def decided(self, request: Request) -> Answer | Charge:
        """Decide *request*; a charge still needs its verdict."""
        found = decide(request, self.facts, time.time())
        if isinstance(found, Answer):
            self.journal.answered(request, found)
        return found

    def said(self, request: Request, verdict: Verdict) -> str:
        """Return the action that *verdict* means, and log it."""
        observed = self.facts.settings.limits.mode == "observe"
        refused = bool(verdict.action)
        text = action.DUNNO if not refused or observed else verdict.action
        cause = "limit" if not refused else "would-refuse" if observed else "over-limit"
        self.journal.charged(request, verdict, cause=cause, action=text)
        return text

    @property
    def busy(self) -> bool:
        """Whether any question has no answer yet."""
        return not self.committer.idle or any(connection.waiting for connection in self.connections)

    def _word(self, charge: Charge, verdict: Verdict, now: float) -> str:
        facts = self.facts
        return action.over_limit(charge, verdict, now, settings=facts.settings, zone=facts.zone)

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in tuple(self.connections):
            if connection.overdue(now):
                log.warning(fields(event="deadline", waiting=connection.waiting))
                connection.abort()
        self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)
