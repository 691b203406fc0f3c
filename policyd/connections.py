"""The connections of Postfix's smtpd processes: bytes to requests, replies back in their order.

In doubt a connection is closed without a reply: Postfix asks again after a second, then
defers the mail (451). No peer is trusted: a request that does not end, or a reply that does
not come in time, closes the connection. An idle one is kept, since Postfix keeps it for 300 s
and would lose a second without it.
"""

import asyncio
import logging
from collections import deque
from typing import Final, cast

from config.daemon.events import event
from policyd.action import DUNNO
from policyd.context import Decision
from policyd.protocol import Decoder, ProtocolError, encode
from policyd.request import Request, parse
from policyd.service import Service
from store.limits.window import Charge, ChargeResult

log = logging.getLogger("policyd")
# Half of the 10 s that our main.cf gives Postfix: within them it must get a reply or a close.
DEADLINE_SECONDS = 5.0
# Postfix has one request in flight; a peer with more than this many does not read replies.
MAX_PIPELINED = 1000
# Postfix opens at most one for each smtpd process and policy service; by default it has 100 smtpd.
MAX_CONNECTIONS: Final = 1000
# How often deadlines are checked: a connection is closed at most this much late.
SWEEP_SECONDS = 0.25
# A flood of connections must not become a flood of log lines.
FULL_SECONDS = 60.0
_PASS = encode(DUNNO)


class Connections:
    """All connections of this process: admission, eviction, deadlines."""

    def __init__(self, service: Service, *, limit: int = MAX_CONNECTIONS) -> None:
        self._service = service
        self._limit = limit
        self._open: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._warn_at = service.loop.time()  # when to log again that the table is full

    def __len__(self) -> int:
        return len(self._open)

    def start(self) -> None:
        """Start to watch deadlines."""
        self._sweep()

    def stop(self) -> None:
        """Stop watching deadlines, and close all once their replies have gone out."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in tuple(self._open):
            connection.close()

    def create(self) -> "Connection":
        """Return the protocol object of a new connection; the event loop calls this."""
        return Connection(self._service, self)

    def admit(self, connection: "Connection") -> None:
        """Admit *connection*. When the table is full, drop the connection whose loss costs least.

        Postfix reconnects when a kept connection is gone. Rejecting newcomers instead would
        block all mail until the existing peers left.
        """
        if len(self._open) >= self._limit:
            self._log_full()
            evicted = min(self._open, key=lambda other: other.eviction_rank)
            self._open.discard(evicted)
            evicted.abort()
        self._open.add(connection)

    def remove(self, connection: "Connection") -> None:
        """Forget *connection*, which is closed."""
        self._open.discard(connection)

    def hold(self) -> None:
        """Read no more from any."""
        for connection in self._open:
            connection.hold()

    @property
    def waiting(self) -> bool:
        """Whether any request has no reply yet."""
        return any(connection.waiting for connection in self._open)

    def _log_full(self) -> None:
        now = self._service.loop.time()
        if now >= self._warn_at:
            self._warn_at = now + FULL_SECONDS
            log.warning(event("too-many-connections", limit=self._limit))

    def _sweep(self) -> None:
        # First: a bug in one sweep must not be the end of all deadlines.
        self._sweeper = self._service.loop.call_later(SWEEP_SECONDS, self._sweep)
        now = self._service.loop.time()
        for connection in tuple(self._open):
            if connection.overdue(now):
                log.warning(event("deadline", waiting=connection.waiting))
                connection.abort()


class Question:
    """A request that waits for the store or for its turn (a `job.Ticket`)."""

    __slots__ = ("born", "charge", "connection", "reply", "request")

    def __init__(
        self, connection: "Connection", request: Request, charge: Charge, *, born: float
    ) -> None:
        self.connection = connection
        self.request = request
        self.charge = charge
        self.born = born
        self.reply: bytes | None = None

    @property
    def wanted(self) -> bool:
        """Whether the connection is still open."""
        return self.connection.open

    def settle(self, result: ChargeResult) -> None:
        """Reply as *result* says."""
        connection = self.connection
        action = connection.service.finish_charge(self.request, result)
        self.reply = _PASS if action == DUNNO else encode(action)
        connection.flush()

    def fail(self) -> None:
        """Close without a reply."""
        self.connection.abort()


_NO_CHARGE = Charge(None, 0, ())


class Connection(asyncio.Protocol):
    """One connection: the protocol object that the event loop calls."""

    def __init__(self, service: Service, connections: Connections) -> None:
        self.service = service
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._decoder = Decoder()
        self._began = 0.0  # when the first byte of the incomplete request came
        self._asked = False  # whether there ever was a request
        self._active = service.loop.time()  # when the last request came, or the connection
        self._questions: deque[Question] = deque()
        self._blocked = False  # the peer does not read our replies
        self._full = False  # `MAX_PIPELINED` requests wait
        self._held = False  # the process is about to end
        self._paused = False  # for one of these reasons nothing is read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # a stream server's
        self._connections.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; results that still come are dropped."""
        del exc
        self._transport = None
        self._questions.clear()
        self._connections.remove(self)

    def data_received(self, data: bytes) -> None:
        """Decide the requests that *data* completes. The edge: an exception closes, no more."""
        began = self._began
        try:
            for raw in self._decoder.feed(data):
                began = 0.0  # the rest belongs to another request
                self._handle(parse(raw))
        except ProtocolError as error:
            log.warning(event("protocol-error", reason=error))
            self.abort()
        except Exception:  # the edge: a bug closes one connection
            log.exception(event("bug", at="decide"))
            self.abort()
        self._began = (began or self.service.loop.time()) if self._decoder.pending else 0.0

    def pause_writing(self) -> None:
        """Read no more requests from a peer that does not read replies."""
        self._blocked = True
        self._pace()

    def resume_writing(self) -> None:
        """Read again."""
        self._blocked = False
        self._pace()

    def overdue(self, now: float) -> bool:
        """Return whether a request or a reply takes longer than `DEADLINE_SECONDS`."""
        if self._questions and now - self._questions[0].born > DEADLINE_SECONDS:
            return True
        return self._began > 0 and now - self._began > DEADLINE_SECONDS

    @property
    def eviction_rank(self) -> tuple[bool, bool, float]:
        """The lowest is closed first: those that never asked, then the longest idle."""
        return self._asked, self.waiting, self._active

    @property
    def open(self) -> bool:
        """Whether a reply could still be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def waiting(self) -> bool:
        """Whether a request has no reply yet."""
        return bool(self._questions)

    def abort(self) -> None:
        """Close at once, without a reply."""
        self._questions.clear()
        if self._transport is not None:
            self._transport.abort()

    def hold(self) -> None:
        """Read no more until the process ends."""
        self._held = True
        self._pace()

    def close(self) -> None:
        """Close once the replies have gone out."""
        if self._transport is not None:
            self._transport.close()

    def flush(self) -> None:
        """Write the replies that are next in turn."""
        questions = self._questions
        replies = []
        while questions and (reply := questions[0].reply) is not None:
            questions.popleft()
            replies.append(reply)
        if replies:
            self._write(replies[0] if len(replies) == 1 else b"".join(replies))
            if self._full and len(questions) < MAX_PIPELINED:
                self._full = False
                self._pace()

    def _handle(self, request: Request) -> None:
        self._asked, self._active = True, self.service.loop.time()
        decision = self.service.decide(request)
        if isinstance(decision, Decision):
            reply = _PASS if decision.action == DUNNO else encode(decision.action)
            if not self._questions:
                self._write(reply)
                return
            question = Question(self, request, _NO_CHARGE, born=self.service.loop.time())
            question.reply = reply
            self._questions.append(question)
        else:
            question = Question(self, request, decision, born=self.service.loop.time())
            self._questions.append(question)
            self.service.committer.submit(question)
        if len(self._questions) >= MAX_PIPELINED:
            self._full = True
            self._pace()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and self.open:  # uvloop raises on a gone peer
            self._transport.write(data)

    def _pace(self) -> None:
        """Pause or resume reading."""
        pause = self._blocked or self._full or self._held
        if self._transport is None or pause == self._paused or not self.open:
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
