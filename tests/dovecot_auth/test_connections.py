"""One listener of authd and its peers, on a real socket, with a scripted service."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from config.daemon.callers import Callers
from dovecot_auth import connections
from dovecot_auth.connections import MAX_AHEAD, Connections
from dovecot_auth.http import Request
from dovecot_auth.service import Response, Service

CALLERS = Callers(())  # the tests run as the service's own user
KEPT = b"GET /health HTTP/1.1\r\n\r\n"
LAST = b"GET /health HTTP/1.0\r\n\r\n"


class Scripted(Service):
    """Answers with the number of the request and a text, after a pause."""

    def __init__(self, pause: float = 0.0, text: str = "") -> None:
        self.pause, self.text, self.count = pause, text, 0

    async def answer(self, request: Request) -> Response:
        del request
        self.count += 1
        await asyncio.sleep(self.pause)
        return 200, {"number": f"{self.count}{self.text}"}


@asynccontextmanager
async def listening(edge: Connections, path: Path) -> AsyncIterator[None]:
    server = await asyncio.get_running_loop().create_unix_server(edge.new, path)
    yield
    server.close()
    await edge.drain()


async def exchange(path: Path, wire: bytes, *, ends: bool = False) -> bytes:
    """Send *wire* on a new connection; return all that arrives until it is closed."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(wire)
        if ends:
            writer.write_eof()
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run *story* on the kind of event loop that authd uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def test_requests_sent_at_once_are_answered_in_order(path: Path) -> None:
    async def story() -> None:
        async with listening(Connections(Scripted(0.01), CALLERS), path):
            got = await exchange(path, KEPT * 3 + LAST)
        assert [line for line in got.split() if line.startswith(b"number=")] == [
            b"number=%d" % n for n in (1, 2, 3, 4)
        ]

    run(story)


def test_a_half_closed_connection_still_gets_its_answer(path: Path) -> None:
    async def story() -> None:
        async with listening(Connections(Scripted(0.05), CALLERS), path):
            assert b"number=1" in await exchange(path, KEPT, ends=True)
            assert await exchange(path, b"", ends=True) == b""

    run(story)


def test_too_many_pipelined_requests_are_answered_400(path: Path) -> None:
    service = Scripted(0.2)

    async def story() -> None:
        async with listening(Connections(service, CALLERS), path):
            got = await exchange(path, KEPT * (MAX_AHEAD + 1))
            assert got.startswith(b"HTTP/1.1 400")
            assert b"number=" in await exchange(path, LAST)  # other connections go on

    run(story)


async def ask_and_never_read(path: Path, service: Scripted) -> None:
    _, writer = await asyncio.open_unix_connection(path, limit=1)
    try:
        while service.count < 1000:
            writer.write(KEPT)
            await writer.drain()
            await asyncio.sleep(0.001)
    finally:
        writer.close()


def test_a_peer_that_reads_no_answers_is_disconnected(path: Path) -> None:
    async def story() -> None:
        service = Scripted(text="x" * 100_000)
        async with listening(Connections(service, CALLERS), path):
            with pytest.raises(ConnectionError):
                await ask_and_never_read(path, service)

    run(story)


def test_a_connection_may_rest_but_a_request_may_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.05)

    async def story() -> None:
        async with listening(Connections(Scripted(0.4), CALLERS), path):
            began = time.monotonic()
            assert await exchange(path, KEPT[:5]) == b""
            assert 0.2 <= time.monotonic() - began < 2
            reader, writer = await asyncio.open_unix_connection(path)
            await asyncio.sleep(0.4)
            writer.write(KEPT)  # the answer takes longer than a request may
            assert b"200 OK" in await reader.readline()
            await asyncio.sleep(0.4)
            writer.write(LAST)
            assert b"number=2" in await reader.read()
            writer.close()

    run(story)


def test_a_bug_closes_the_connection_without_an_answer(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with listening(Connections(Scripted(text="\n"), CALLERS), path):
            # A value of two lines cannot be encoded.
            assert await exchange(path, KEPT) == b""
        assert "event=bug at=connection" in caplog.text

    run(story)


def test_draining_waits_for_answers_but_not_for_idle_connections(path: Path) -> None:
    async def story() -> None:
        edge = Connections(Scripted(0.2), CALLERS)
        async with listening(edge, path):
            busy = asyncio.create_task(exchange(path, KEPT))
            rests = asyncio.create_task(exchange(path, b""))
            await asyncio.sleep(0.1)
        assert b"Connection: close" in await busy
        assert await rests == b""

    run(story)
