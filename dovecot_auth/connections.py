"""The edge of one listener: bytes in, bytes out; bounded in number, size and time.

A peer that breaks a limit loses its connection, and nobody else's is touched. Who is
too slow is found by looking at all connections once a second: a timer for each
request would cost every login. Who may not ask (`config.daemon.callers`) hears 403 at its first
byte, and nothing of what it sends is read.
"""

import asyncio
import logging
import time
from collections import deque
from typing import cast

from config.daemon.callers import Callers, uid_of
from config.daemon.logs import fields
from dovecot_auth.http import Decoder, ProtocolError, Request, encode
from dovecot_auth.service import Service

log = logging.getLogger(__name__)

IDLE_SECONDS = 600.0  # Dovecot's client keeps its connections
REQUEST_SECONDS = 5.0  # to send one request; a local peer needs a millisecond
LOOK_SECONDS = 1.0
MAX_CONNECTIONS = 1000  # of each listener; the unit allows for more descriptors
# Of those who may not ask, so that they leave all room to those who may.
MAX_STRANGERS = 16
MAX_AHEAD = 16  # requests sent before the answer to the first; none of our peers does that
DRAIN_SECONDS = 5.0


class Connections:
    """All connections of one listener. Its methods belong to one event loop."""

    def __init__(self, service: Service, callers: Callers) -> None:
        """Serve *service* to *callers*."""
        self.service = service
        self.callers = callers
        self.draining = False
        self._strangers = 0
        self._open: set[_Connection] = set()
        self._looking = False

    def new(self) -> asyncio.Protocol:
        """Return the protocol of a connection that is about to open."""
        return _Connection(self)

    def admit(self, connection: "_Connection") -> bool:
        """Count *connection* as open, unless there are too many."""
        if len(self._open) - self._strangers >= MAX_CONNECTIONS or self.draining:
            return False
        if connection.is_stranger:
            if self._strangers >= MAX_STRANGERS:
                return False
            self._strangers += 1
        self._open.add(connection)
        if not self._looking:
            self._look()
        return True

    def forget(self, connection: "_Connection") -> None:
        """Count *connection* as open no longer."""
        if connection in self._open:
            self._open.remove(connection)
            self._strangers -= connection.is_stranger

    async def drain(self) -> None:
        """Let the requests in progress finish, then end all connections."""
        self.draining = True
        busy = [each.answering for each in self._open if each.answering]
        for each in list(self._open):
            if not each.answering:
                each.close()
        if busy:
            await asyncio.wait(busy, timeout=DRAIN_SECONDS)
        for each in list(self._open):
            each.close()

    def _look(self) -> None:
        """Close whoever was silent for too long, and look again as long as one is open."""
        now = time.monotonic()
        for each in [each for each in self._open if each.is_late(now)]:
            each.close()
        self._looking = bool(self._open)
        if self._looking:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)


class _Connection(asyncio.Protocol):
    """One connection: its requests are answered one after the other."""

    def __init__(self, edge: Connections) -> None:
        self._edge = edge
        self._decoder = Decoder()
        self._todo: deque[Request] = deque()
        self._until = time.monotonic() + IDLE_SECONDS
        self._has_ended = False
        self.is_stranger = False
        self.answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        uid = uid_of(transport.get_extra_info("socket"))
        if not self._edge.callers.admits(uid):
            self.is_stranger = True
            self._until = time.monotonic() + REQUEST_SECONDS
        if not self._edge.admit(self):
            transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        self._edge.forget(self)

    def eof_received(self) -> bool:
        self._has_ended = True
        return self.answering is not None  # who asked last may still hear the answer

    def pause_writing(self) -> None:
        self._transport.abort()  # who does not read 64 KiB of answers is none of ours

    def data_received(self, chunk: bytes) -> None:
        if self._transport.is_closing():
            return
        if self.is_stranger:
            self._say(encode(403, {"reason": "you may not ask (auth.callers)"}, keep=False))
            self._transport.close()
            return
        was_idle = self._decoder.is_idle
        try:
            self._todo.extend(self._decoder.feed(chunk))
        except ProtocolError as error:
            self._refuse(error)
            return
        if len(self._todo) > MAX_AHEAD:
            self._refuse(ProtocolError(f"more than {MAX_AHEAD} requests at once"))
            return
        if self._decoder.is_idle:
            self._until = time.monotonic() + IDLE_SECONDS
        elif was_idle or self._todo:
            # A connection may rest between requests; one request may not take its time.
            self._until = time.monotonic() + REQUEST_SECONDS
        if not self._todo:
            self._say(self._decoder.go_ahead())
        elif self.answering is None:
            self.answering = asyncio.get_running_loop().create_task(self._answer())

    def is_late(self, now: float) -> bool:
        """Whether the peer had all the time it gets; ours has its own limit."""
        return self.answering is None and now > self._until

    def close(self) -> None:
        """End the connection, and what is in progress for it."""
        if self.answering is not None:
            self.answering.cancel()
        self._transport.close()

    async def _answer(self) -> None:
        try:
            while self._todo and not self._transport.is_closing():
                request = self._todo.popleft()
                status, told = await self._edge.service.answer(request)
                keep = request.keep and not self._edge.draining
                self._say(encode(status, told, keep=keep))
                if not keep:
                    self._transport.close()
            self._say(self._decoder.go_ahead())
        except ProtocolError as error:
            self._refuse(error)
        except Exception:  # the edge: no answer is "try later" to all our peers
            log.exception("bug in a connection")
            self._transport.abort()
        finally:
            self.answering = None
        if self._has_ended:
            self._transport.close()

    def _refuse(self, error: ProtocolError) -> None:
        log.warning("not HTTP as we speak it %s", fields(why=error))
        self._say(encode(400, {"reason": str(error)}, keep=False))
        self._transport.close()

    def _say(self, text: bytes) -> None:
        if text and not self._transport.is_closing():
            self._transport.write(text)
