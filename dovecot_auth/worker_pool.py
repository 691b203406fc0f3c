"""Threads behind a bounded queue, with a share of it for each network.

Reading the store and hashing have a pool each: a storm of wrong passwords, all of which
must be hashed, does not hold up logins that the cache or the store alone decides. One
network gets a share of the queue, so that a storm from one leaves room for the others.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# At 50 checks a second and core this is as long as a person would wait anyway.
MAX_WAITING = 400
# A quarter: the users of a webmail server fit, and three such storms leave room.
MAX_OF_NETWORK = 100
DEADLINE_SECONDS = 8.0  # below the script's 10 s, so that it receives a reason


class Late(Exception):  # noqa: N818 - a state, not a mistake
    """The request waited too long, or too many are waiting."""


class WorkerPool:
    """A few threads for one kind of work. Its methods belong to one event loop."""

    def __init__(self, name: str, count: int) -> None:
        """Start the threads on first use."""
        self.waiting = 0
        self.of: Counter[str | None] = Counter()  # waiting requests, by network
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)

    def slot(self, network: str | None) -> "Slot":
        """Return a slot in the queue, to be entered; ``None`` is no network, and has no share."""
        return Slot(self, network)

    async def run(self, work: Callable[[], T]) -> T:
        """Return *work*(); raise `Late` when it takes so long that the peer has given up."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await self.run_to_end(work)
        except TimeoutError:
            raise Late(f"no answer within {DEADLINE_SECONDS} s") from None

    async def run_to_end(self, work: Callable[[], T]) -> T:
        """Return *work*(), however long it takes: no peer waits for it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Let running work finish, and drop the rest."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Slot:
    """A place in the queue of a pool, while it is entered. Raises `Late` when there is none.

    A class of its own, as a generator costs three times as much, twice a login.
    """

    __slots__ = ("_network", "_pool")

    def __init__(self, pool: WorkerPool, network: str | None) -> None:
        self._pool = pool
        self._network = network

    def __enter__(self) -> None:
        pool, network = self._pool, self._network
        if pool.waiting >= MAX_WAITING:
            raise Late(f"{pool.waiting} requests are waiting already")
        if network and pool.of[network] >= MAX_OF_NETWORK:
            raise Late(f"{MAX_OF_NETWORK} requests of network {network} are waiting already")
        pool.waiting += 1
        pool.of[network] += 1

    def __exit__(self, *_: object) -> None:
        pool, network = self._pool, self._network
        pool.waiting -= 1
        pool.of[network] -= 1
        if not pool.of[network]:
            del pool.of[network]
