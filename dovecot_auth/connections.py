"""The edge of one listener: bytes in, bytes out; bounded in number, size and time.

A peer that breaks a limit loses its connection, and no other is touched. Slow peers are
found by a sweep of all connections once a second: a timer for each request would cost
every login. A process that `config.daemon.callers` does not admit is answered 403 at its
first byte, and nothing it sends is read.
"""

import asyncio
import logging
import time
from collections import deque
from typing import cast

from config.daemon.callers import Callers, uid_of
from config.daemon.events import event
from config.units import Monotonic
from dovecot_auth.http import Decoder, ProtocolError, Request, encode
from dovecot_auth.service import Service

log = logging.getLogger(__name__)

IDLE_SECONDS = 600.0  # Dovecot's client keeps its connections open
REQUEST_SECONDS = 5.0  # to send one request; a local peer needs a millisecond
SWEEP_SECONDS = 1.0
MAX_CONNECTIONS = 1000  # for each listener; the unit allows more descriptors
# From processes that are not admitted; they take no room from those that are.
MAX_STRANGERS = 16
MAX_AHEAD = 16  # requests sent before the answer to the first; no known peer sends two
DRAIN_SECONDS = 5.0


class Connections:
    """The connections of one listener. Its methods belong to one event loop."""

    def __init__(self, service: Service, callers: Callers) -> None:
        """Serve *service* to *callers*."""
        self.service = service
        self.callers = callers
        self.draining = False
        self._strangers = 0
        self._open: set[_Connection] = set()
        self._is_sweeping = False

    def new(self) -> asyncio.Protocol:
        """Return the protocol of a connection that is about to open."""
        return _Connection(self)

    def admit(self, connection: "_Connection") -> bool:
        """Count *connection* as open and return true, unless there are too many."""
        if len(self._open) - self._strangers >= MAX_CONNECTIONS or self.draining:
            return False
        if connection.is_stranger:
            if self._strangers >= MAX_STRANGERS:
                return False
            self._strangers += 1
        self._open.add(connection)
        if not self._is_sweeping:
            self._sweep()
        return True

    def forget(self, connection: "_Connection") -> None:
        """Stop counting *connection* as open."""
        if connection in self._open:
            self._open.remove(connection)
            self._strangers -= connection.is_stranger

    async def drain(self) -> None:
        """Let requests in progress finish, then close all connections."""
        self.draining = True
        busy = [c.answering for c in self._open if c.answering]
        for connection in list(self._open):
            if not connection.answering:
                connection.close()
        if busy:
            await asyncio.wait(busy, timeout=DRAIN_SECONDS)
        for connection in list(self._open):
            connection.close()

    def _sweep(self) -> None:
        """Close connections past their deadline, and come back as long as any is open."""
        now = time.monotonic()
        for late in [c for c in self._open if c.is_late(now)]:
            late.close()
        self._is_sweeping = bool(self._open)
        if self._is_sweeping:
            asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)


class _Connection(asyncio.Protocol):
    """One connection. Its requests are answered in order."""

    def __init__(self, edge: Connections) -> None:
        self._edge = edge
        self._decoder = Decoder()
        self._todo: deque[Request] = deque()
        self._deadline = time.monotonic() + IDLE_SECONDS
        self._has_ended = False
        self.is_stranger = False
        self.answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        uid = uid_of(transport.get_extra_info("socket"))
        if not self._edge.callers.admits(uid):
            self.is_stranger = True
            self._deadline = time.monotonic() + REQUEST_SECONDS
        if not self._edge.admit(self):
            transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        self._edge.forget(self)

    def eof_received(self) -> bool:
        self._has_ended = True
        return self.answering is not None  # the answer in progress can still be sent

    def pause_writing(self) -> None:
        self._transport.abort()  # no Dovecot leaves 64 KiB of answers unread

    def data_received(self, chunk: bytes) -> None:
        if self._transport.is_closing():
            return
        if self.is_stranger:
            self._send(encode(403, {"reason": "this user is not in auth.callers"}, keep=False))
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
            self._deadline = time.monotonic() + IDLE_SECONDS
        elif was_idle or self._todo:
            # A connection may rest between requests, but not within one.
            self._deadline = time.monotonic() + REQUEST_SECONDS
        if not self._todo:
            self._send(self._decoder.go_ahead())
        elif self.answering is None:
            self.answering = asyncio.get_running_loop().create_task(self._answer())

    def is_late(self, now: Monotonic) -> bool:
        """Whether the peer has used up its time; an answer in progress has a limit of its own."""
        return self.answering is None and now > self._deadline

    def close(self) -> None:
        """Close the connection and cancel the answer in progress."""
        if self.answering is not None:
            self.answering.cancel()
        self._transport.close()

    async def _answer(self) -> None:
        try:
            while self._todo and not self._transport.is_closing():
                request = self._todo.popleft()
                status, values = await self._edge.service.answer(request)
                keep = request.keep and not self._edge.draining
                self._send(encode(status, values, keep=keep))
                if not keep:
                    self._transport.close()
            self._send(self._decoder.go_ahead())
        except ProtocolError as error:
            self._refuse(error)
        except Exception:  # the edge: every peer takes a missing answer as "try later"
            log.exception(event("bug", at="connection"))
            self._transport.abort()
        finally:
            self.answering = None
        if self._has_ended:
            self._transport.close()

    def _refuse(self, error: ProtocolError) -> None:
        log.warning(event("protocol-error", reason=error))
        self._send(encode(400, {"reason": str(error)}, keep=False))
        self._transport.close()

    def _send(self, text: bytes) -> None:
        if text and not self._transport.is_closing():
            self._transport.write(text)
