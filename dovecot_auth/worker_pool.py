"""Threads with a line before them, bounded as a whole and for each network.

Reading the store and hashing have a line each: a storm of wrong passwords, which all
have to be hashed, holds up nobody whom the memory or the store alone decides. One
network gets a share of a line, so that a storm from one leaves room for the others.

Not a ``ThreadPoolExecutor``: with its futures, and asyncio's around them, handing over
and back takes 34 us of the processor, and so 24.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")

# At 50 checks a second and core this is what a person would wait for anyway.
MAX_WAITING = 400
# A quarter: a webmail server's people fit, and three such storms leave room.
MAX_OF_NETWORK = 100
DEADLINE_SECONDS = 8.0  # below the script's 10 s, so that it hears a reason


class Late(Exception):  # noqa: N818 - a state, not a mistake
    """The question waited too long, or too many wait."""


class WorkerPool:
    """A few threads for one kind of work. Its methods belong to one event loop."""

    def __init__(self, name: str, count: int) -> None:
        """Start the threads on first use."""
        self.waiting = 0
        self.of: Counter[str | None] = Counter()  # those that wait, by network
        self._name = name
        self._count = count
        self._threads: list[threading.Thread] = []
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._unfinished = 0

    def place(self, network: str | None) -> "Slot":
        """Return a place in line, to be stood in; ``None`` is no network, and has no share."""
        return Slot(self, network)

    async def run(self, work: Callable[[], T]) -> T:
        """Return *work*(), unless it waited so long that nobody hears the answer."""
        deadline = time.monotonic() + DEADLINE_SECONDS

        def timely() -> T:
            if time.monotonic() > deadline:
                raise Late(f"waited {DEADLINE_SECONDS} s for a thread")
            return work()

        future = self._begun(timely)
        timer = future.get_loop().call_later(DEADLINE_SECONDS, _give_up, future)
        try:
            return await future
        finally:
            timer.cancel()

    async def do(self, work: Callable[[], T]) -> T:
        """Return *work*(), however long it takes: nobody waits for it."""
        return await self._begun(work)

    def close(self) -> None:
        """Let what runs finish, and nothing else."""
        with suppress(Empty):
            while True:
                self._jobs.get_nowait()
        for _ in self._threads:
            self._jobs.put(None)

    def _begun(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Have a thread do *work*; its outcome comes to the event loop as a future."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            try:
                outcome = partial(future.set_result, work())
            except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                outcome = partial(future.set_exception, error)
            with suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(self._settle, future, outcome)

        if len(self._threads) < min(self._unfinished + 1, self._count):
            thread = threading.Thread(target=self._work, name=self._name)
            thread.start()
            self._threads.append(thread)
        self._unfinished += 1
        self._jobs.put(job)
        return future

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _settle(self, future: asyncio.Future[T], outcome: Callable[[], None]) -> None:
        self._unfinished -= 1
        if not future.done():  # nobody gave it up
            outcome()


class Slot:
    """A place in the line of some threads, while it is entered. Raises `Late` for none left.

    A class of its own, as a generator costs three times as much, twice a login.
    """

    __slots__ = ("_network", "_threads")

    def __init__(self, threads: WorkerPool, network: str | None) -> None:
        self._threads = threads
        self._network = network

    def __enter__(self) -> None:
        line, network = self._threads, self._network
        if line.waiting >= MAX_WAITING:
            raise Late(f"{line.waiting} questions wait already")
        if network and line.of[network] >= MAX_OF_NETWORK:
            raise Late(f"{MAX_OF_NETWORK} questions of network {network} wait already")
        line.waiting += 1
        line.of[network] += 1

    def __exit__(self, *_: object) -> None:
        line, network = self._threads, self._network
        line.waiting -= 1
        line.of[network] -= 1
        if not line.of[network]:
            del line.of[network]


def _give_up(future: asyncio.Future[T]) -> None:
    if not future.done():
        future.set_exception(Late(f"no answer within {DEADLINE_SECONDS} s"))
