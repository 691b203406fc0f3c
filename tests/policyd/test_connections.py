"""Connections: back pressure, deadlines, and eviction from a full table."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import pytest

from policyd import connections as connections_module
from policyd.connections import DEADLINE_SECONDS, Connection, Connections
from policyd.service import Service
from store.engine import Store
from store.limits.open import open_counters
from tests.policyd.conftest import MakeFacts, wire

Work: TypeAlias = Callable[[Connections], Coroutine[None, None, None]]


class Peer(asyncio.Transport):
    """The other end, as the loop's transport shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = 0
        self.reading = True
        self.gone = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.answers += bytes(data).count(b"\n\n")

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.gone

    def abort(self) -> None:
        self.gone = True

    def close(self) -> None:
        self.gone = True

    async def wait(self, answers: int) -> None:
        async with asyncio.timeout(10):
            while self.answers < answers:  # noqa: ASYNC110 - the loop's transport has no event
                await asyncio.sleep(0.01)


@pytest.fixture
def served(make_facts: MakeFacts, store: Store) -> Callable[[Work], None]:
    """Return a function that does some work with room for two connections."""

    async def run(work: Work) -> None:
        loop = asyncio.get_running_loop()
        service = Service(make_facts(), open_counters(store), loop=loop)
        with _started(service):
            await work(Connections(service, limit=2))

    return lambda work: asyncio.run(run(work))


@contextmanager
def _started(service: Service) -> Iterator[None]:
    service.start()
    try:
        yield
    finally:
        service.stop()


def connect(connections: Connections) -> tuple[Connection, Peer]:
    connection, peer = connections.create(), Peer()
    connection.connection_made(peer)
    return connection, peer


def test_a_peer_that_does_not_read_replies_is_not_read_from(served: Callable[[Work], None]) -> None:
    async def work(connections: Connections) -> None:
        connection, peer = connect(connections)
        connection.pause_writing()
        connection.data_received(b"".join(wire(instance=n) for n in range(1000)))
        await peer.wait(1000)
        assert not peer.reading
        connection.resume_writing()
        assert peer.reading

    served(work)


def test_each_request_has_a_deadline_of_its_own(served: Callable[[Work], None]) -> None:
    async def work(connections: Connections) -> None:
        connection, peer = connect(connections)
        question = wire(protocol_state="RCPT")
        connection.data_received(question[:-1])
        await asyncio.sleep(0.1)
        connection.data_received(b"\n" + question[:-1])
        assert peer.answers == 1
        now = asyncio.get_running_loop().time()
        assert not connection.overdue(now + DEADLINE_SECONDS - 0.05)
        assert connection.overdue(now + DEADLINE_SECONDS + 0.05)

    served(work)


def test_a_full_table_drops_the_silent_then_the_idle_and_admits_newcomers(
    served: Callable[[Work], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def work(connections: Connections) -> None:
        (asking, first), (_, mute) = connect(connections), connect(connections)
        asking.data_received(wire(protocol_state="RCPT"))
        second, kept = connect(connections)
        assert (first.gone, mute.gone, kept.gone) == (False, True, False)
        await asyncio.sleep(0.01)
        second.data_received(wire(protocol_state="RCPT"))
        _, newest = connect(connections)
        assert (first.gone, kept.gone, newest.gone) == (True, False, False)

    served(work)
    assert [line for line in caplog.messages if "too-many" in line] == [
        "event=too-many-connections limit=2"
    ]


def test_an_overdue_connection_is_closed_although_a_sweep_before_failed(
    served: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(connections_module, "DEADLINE_SECONDS", 0.05)

    async def work(connections: Connections) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        connection, peer = connect(connections)
        connections.start()
        with monkeypatch.context() as broken:
            broken.setattr(Connection, "overdue", None)  # a bug: not callable
            await asyncio.sleep(0.03)
        connection.data_received(wire()[:-1])
        async with asyncio.timeout(10):
            while not peer.gone:  # noqa: ASYNC110 - the loop's transport has no event
                await asyncio.sleep(0.01)
        connections.stop()

    served(work)
