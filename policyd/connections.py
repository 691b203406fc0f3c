"""One connection of one smtpd: bytes to requests, answers back in the order asked.

In doubt it closes without an answer: Postfix asks again after a second, then
defers (451). Trusts nobody: a request that does not come to its end, or an answer
that does not come in time, ends the connection; an idle one is kept, since
Postfix keeps it for 300 s and a lost one costs it a second.
"""

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, cast

from config.daemon.events import event
from policyd.action import DUNNO
from policyd.context import Decision
from policyd.protocol import Decoder, ProtocolError, encode
from policyd.request import Request, parse
from store.limits.window import Charge, ChargeResult

if TYPE_CHECKING:
    from policyd.service import Service

log = logging.getLogger("policyd")
# Half of the 10 s that our main.cf gives Postfix: it must hear from us, or of our silence.
DEADLINE = 5.0
# Postfix has one question in flight; more than this many is a peer that does not read.
MAX_PIPELINED = 1000
_PASS = encode(DUNNO)


class Question:
    """A request that waits, for the store or for its turn (a `committer.Ticket`)."""

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
        """Whether the connection still waits."""
        return self.connection.open

    def settled(self, verdict: ChargeResult) -> None:
        """Answer with *verdict*."""
        connection = self.connection
        said = connection.service.said(self.request, verdict)
        self.reply = _PASS if said == DUNNO else encode(said)
        connection.flush()

    def failed(self) -> None:
        """Close without an answer."""
        self.connection.abort()


_NOTHING = Charge(None, 0, ())


class Connection(asyncio.Protocol):
    """The protocol object that the loop calls."""

    def __init__(self, service: "Service") -> None:
        self.service = service
        self._transport: asyncio.Transport | None = None
        self._decoder = Decoder()
        self._began = 0.0  # when the request in the decoder did
        self._asked = False  # whether it ever asked anything
        self._active = service.loop.time()  # when it asked last, or came
        self._questions: deque[Question] = deque()
        self._blocked = False  # the peer does not read our answers
        self._full = False  # as many questions wait as may
        self._held = False  # we are about to end
        self._paused = False  # for one of these reasons nothing is read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # a stream server's
        self.service.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it; verdicts that still come have nobody to tell."""
        del exc
        self._transport = None
        self._questions.clear()
        self.service.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Decide what *data* completes. This is the edge: nothing leaves but a close."""
        began = self._began
        try:
            for raw in self._decoder.feed(data):
                began = 0.0  # what is left over belongs to another request
                self._ask(parse(raw))
        except ProtocolError as error:
            log.warning(event("protocol-error", reason=error))
            self.abort()
        except Exception:  # the edge: our bug is one connection closed
            log.exception(event("bug", at="decide"))
            self.abort()
        self._began = (began or self.service.loop.time()) if self._decoder.pending else 0.0

    def pause_writing(self) -> None:
        """Read no more questions of someone who does not read answers."""
        self._blocked = True
        self._pace()

    def resume_writing(self) -> None:
        """Go on."""
        self._blocked = False
        self._pace()

    def overdue(self, now: float) -> bool:
        """Return whether a request or an answer has taken longer than `DEADLINE`."""
        if self._questions and now - self._questions[0].born > DEADLINE:
            return True
        return self._began > 0 and now - self._began > DEADLINE

    @property
    def worth(self) -> tuple[bool, bool, float]:
        """How much would be lost by closing it: least for who never asked, then for the idle."""
        return self._asked, self.waiting, self._active

    @property
    def open(self) -> bool:
        """Whether an answer would reach anybody."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def waiting(self) -> bool:
        """Whether a question has no answer yet."""
        return bool(self._questions)

    def abort(self) -> None:
        """Close at once, without an answer."""
        self._questions.clear()
        if self._transport is not None:
            self._transport.abort()

    def hold(self) -> None:
        """Read no more, for good."""
        self._held = True
        self._pace()

    def close(self) -> None:
        """Close once what was written has gone out."""
        if self._transport is not None:
            self._transport.close()

    def flush(self) -> None:
        """Write the answers that are next in turn."""
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

    def _ask(self, request: Request) -> None:
        self._asked, self._active = True, self.service.loop.time()
        found = self.service.decided(request)
        if isinstance(found, Decision):
            reply = _PASS if found.action == DUNNO else encode(found.action)
            if not self._questions:
                self._write(reply)
                return
            question = Question(self, request, _NOTHING, born=self.service.loop.time())
            question.reply = reply
            self._questions.append(question)
        else:
            question = Question(self, request, found, born=self.service.loop.time())
            self._questions.append(question)
            self.service.committer.submit(question)
        if len(self._questions) >= MAX_PIPELINED:
            self._full = True
            self._pace()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and self.open:  # uvloop raises on a gone peer
            self._transport.write(data)

    def _pace(self) -> None:
        """Read on, or no more."""
        pause = self._blocked or self._full or self._held
        if self._transport is None or pause == self._paused or not self.open:
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
