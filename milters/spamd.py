"""Ask spamd, through aiospamc: a verdict within one deadline, or `SpamdUnavailable`.

aiospamc speaks the protocol; the connection is made here, because its own builds an SSL
context for every call (40 ms, even for plain TCP), reads without a limit, keeps two
copies of the mail, and leaves the socket open when time is up. All scans share one
event loop in one thread; callers block in their own. At most `MAX_SCANS` run at once,
and waiting for a turn counts against the same deadline. A message is read when its
turn has come, so those that wait hold no memory.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout

from aiospamc.exceptions import ClientException, ParseError
from aiospamc.header_values import SpamValue
from aiospamc.incremental_parser import ResponseParser
from aiospamc.requests import Request
from aiospamc.responses import Response, ResponseException
from loguru import logger

from config.units import Address, Seconds
from milters.spam import Report

# Postfix waits 300 s for a milter's verdict on content (milter_content_timeout);
# SpamAssassin takes 0.2 s for 10 KB and 1.5 s for 500 KB, more with network tests.
DEADLINE = 20.0
# spamd's own default is five children; more waiting in it than here gains nothing.
MAX_SCANS = 8
MAX_REPLY = 64 << 10  # a report that names every rule has 40 KiB
MAX_TESTS = 100  # names of rules kept for the header

logger.disable("aiospamc")  # it would print each mail's bytes to stderr


class SpamdUnavailable(Exception):  # noqa: N818 - a state of the world, not a mistake
    """No verdict; the text is the reason in one word."""


class Spamd:
    """A spamd at one address. Thread-safe."""

    def __init__(
        self, address: Address, *, deadline: Seconds = DEADLINE, max_scans: int = MAX_SCANS
    ) -> None:
        self.address = address
        self._deadline = deadline
        self._max_scans = max_scans
        self._turns = threading.BoundedSemaphore(max_scans)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="spamd", daemon=True)
        self._thread.start()

    def scan(self, read: Callable[[], bytes]) -> Report:
        """Return the verdict on the message that *read* returns; raise `SpamdUnavailable`."""
        start = time.monotonic()
        if not self._turns.acquire(timeout=self._deadline):
            raise SpamdUnavailable("busy")
        try:
            if self._loop.is_closed():  # and it cannot be, while we have a turn
                raise SpamdUnavailable("closed")
            left = max(0.0, self._deadline - (time.monotonic() - start))
            return self._ask([bytes(Request("SYMBOLS", body=read()))], left)
        finally:
            self._turns.release()

    def close(self) -> None:
        """Stop the thread when the scans in progress have ended; their deadline bounds that."""
        for _ in range(self._max_scans):
            self._turns.acquire()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._turns.release(self._max_scans)  # a waiting `scan` then fails at once

    def _ask(self, outgoing: list[bytes], seconds: Seconds) -> Report:
        asking = asyncio.wait_for(_answer(self.address, outgoing), seconds)
        future = asyncio.run_coroutine_threadsafe(asking, self._loop)
        try:
            # The loop keeps the deadline; the extra second is for a loop that died.
            response = future.result(seconds + 1)
        except (TimeoutError, FutureTimeout):
            future.cancel()
            raise SpamdUnavailable("timeout") from None
        except OSError as error:
            raise SpamdUnavailable("unreachable") from error
        except (ClientException, ResponseException, ParseError, ValueError) as error:
            raise SpamdUnavailable("error") from error
        return _report(response.headers.get("Spam"), response.body)


def _report(spam: object, body: bytes) -> Report:
    if not isinstance(spam, SpamValue):
        raise SpamdUnavailable("error")
    names = body.decode("ascii", "replace").replace("\n", ",").split(",")
    tests = tuple(name for name in map(str.strip, names) if name.isidentifier())
    return Report(spam.value, spam.score, spam.threshold, tests[:MAX_TESTS])


async def _answer(address: Address, outgoing: list[bytes]) -> Response:
    """Send the one request in *outgoing*, emptying it to free the memory; return the answer."""
    reader, writer = await _open(address)
    try:
        writer.write(outgoing.pop())
        writer.write_eof()
        await writer.drain()
        response = Response(**ResponseParser().parse(await _read(reader)))
        response.raise_for_status()
        return response
    finally:
        # Not close(): that waits until all is sent, and a spamd may never read.
        writer.transport.abort()


async def _open(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.kind == "unix":
        return await asyncio.open_unix_connection(address.path)
    return await asyncio.open_connection(address.host, address.port)


async def _read(reader: asyncio.StreamReader) -> bytes:
    reply = bytearray()
    while piece := await reader.read(MAX_REPLY):
        reply += piece
        if len(reply) > MAX_REPLY:
            raise ValueError("spamd's reply has no end")
    return bytes(reply)
