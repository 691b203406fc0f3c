"""Threads with a line before them, bounded as a whole and for each network.

Reading the store and hashing have a line each: a storm of wrong passwords, which all
have to be hashed, holds up nobody whom the memory or the store alone decides. One
network gets a share of a line, so that a storm from one leaves room for the others.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

# At 50 checks a second and core this is what a person would wait for anyway.
MAX_WAITING = 400
# A quarter: a webmail server's people fit, and three such storms leave room.
MAX_OF_NETWORK = 100
DEADLINE_SECONDS = 8.0  # below the script's 10 s, so that it hears a reason


class Late(Exception):  # noqa: N818 - a state, not a mistake
    """The question waited too long, or too many wait."""


class Threads:
    """A few threads for one kind of work. Its methods belong to one event loop."""

    def __init__(self, name: str, count: int) -> None:
        """Start the threads on first use."""
        self.executor = ThreadPoolExecutor(count, name)
        self.waiting = 0
        self._of: Counter[str] = Counter()

    @contextmanager
    def place(self, network: str | None) -> Iterator[None]:
        """Stand in line, or raise `Late`; ``None`` is no network, and has no share."""
        key = network or ""
        if self.waiting >= MAX_WAITING:
            raise Late(f"{self.waiting} questions wait already")
        if network and self._of[key] >= MAX_OF_NETWORK:
            raise Late(f"{MAX_OF_NETWORK} questions of network {network} wait already")
        self.waiting += 1
        self._of[key] += 1
        try:
            yield
        finally:
            self.waiting -= 1
            self._of[key] -= 1
            if not self._of[key]:
                del self._of[key]

    async def run(self, work: Callable[[], T]) -> T:
        """Return *work*(), unless it waited so long that nobody hears the answer."""
        deadline = time.monotonic() + DEADLINE_SECONDS

        def timely() -> T:
            if time.monotonic() > deadline:
                raise Late(f"waited {DEADLINE_SECONDS} s for a thread")
            return work()

        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self.executor, timely)
        except TimeoutError:
            raise Late(f"no answer within {DEADLINE_SECONDS} s") from None

    async def do(self, work: Callable[[], T]) -> T:
        """Return *work*(), however long it takes: nobody waits for it."""
        return await asyncio.get_running_loop().run_in_executor(self.executor, work)

    def close(self) -> None:
        """Let what runs finish, and nothing else."""
        self.executor.shutdown(wait=False, cancel_futures=True)
