"""One connection: whom it reads from, and for how long."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import pytest

from policyd.connections import DEADLINE, Connection
from policyd.service import Service
from store.engine import Store
from store.limits.open import open_counters
from tests.policyd.conftest import MakeFacts, wire

Work: TypeAlias = Callable[[Service], Coroutine[None, None, None]]


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

    async def wait(self, answers: int) -> None:
        async with asyncio.timeout(10):
            while self.answers < answers:  # noqa: ASYNC110 - the loop's transport has no event
                await asyncio.sleep(0.01)


@pytest.fixture
def served(make_facts: MakeFacts, store: Store) -> Callable[[Work], None]:
    """Return a function that does some work with a running service of two connections."""

    async def run(work: Work) -> None:
        loop = asyncio.get_running_loop()
        service = Service(make_facts(), open_counters(store), loop=loop, max_connections=2)
        with _started(service):
            await work(service)

    return lambda work: asyncio.run(run(work))


@contextmanager
def _started(service: Service) -> Iterator[None]:
    service.start()
    try:
        yield
    finally:
        service.stop()


def connected(service: Service) -> tuple[Connection, Peer]:
    connection, peer = service.connection(), Peer()
    connection.connection_made(peer)
    return connection, peer


def test_who_does_not_read_answers_is_not_read_from(served: Callable[[Work], None]) -> None:
    async def work(service: Service) -> None:
        connection, peer = connected(service)
        connection.pause_writing()
        connection.data_received(b"".join(wire(instance=n) for n in range(1000)))
        await peer.wait(1000)
        assert not peer.reading
        connection.resume_writing()
        assert peer.reading

    served(work)


def test_the_deadline_is_that_of_each_request(served: Callable[[Work], None]) -> None:
    async def work(service: Service) -> None:
        connection, peer = connected(service)
        question = wire(protocol_state="RCPT")
        connection.data_received(question[:-1])
        await asyncio.sleep(0.1)
        connection.data_received(b"\n" + question[:-1])
        assert peer.answers == 1
        now = service.loop.time()
        assert not connection.overdue(now + DEADLINE - 0.05)
        assert connection.overdue(now + DEADLINE + 0.05)

    served(work)


def test_when_full_the_mute_goes_first_then_the_idle_and_the_newcomer_stays(
    served: Callable[[Work], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def work(service: Service) -> None:
        (asking, first), (_, mute) = connected(service), connected(service)
        asking.data_received(wire(protocol_state="RCPT"))
        second, kept = connected(service)
        assert (first.gone, mute.gone, kept.gone) == (False, True, False)
        await asyncio.sleep(0.01)
        second.data_received(wire(protocol_state="RCPT"))
        _, newest = connected(service)
        assert (first.gone, kept.gone, newest.gone) == (True, False, False)

    served(work)
    assert [line for line in caplog.messages if "too-many" in line] == [
        "event=too-many-connections limit=2"
    ]
