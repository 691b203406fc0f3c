"""The path of one login through authd's threads, from the form to the result.

A login is first read, as one that the store or the cache alone decides need not wait for
a thread that hashes. A refusal leaves after a time of its own (`dovecot_auth.refusal_delay`)
whatever its reason, so that its time tells nothing. A right login waits for no write:
known networks and new hashes are written in the background.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial

from config.daemon.events import event
from dovecot_auth.check import Checker
from dovecot_auth.refusal_delay import RefusalDelay
from dovecot_auth.verdict import Allowed, Blocked, Login, LoginResult, Pending
from dovecot_auth.worker_pool import DEADLINE_SECONDS, Late, WorkerPool
from store.logins import password_hashes
from store.logins.budgets import network_of

log = logging.getLogger(__name__)

# Each check takes one core and 19 MiB for 20 ms; more threads than cores only take turns.
HASHING_THREADS = max(2, os.cpu_count() or 1)
# These wait for the database, not for a core, and must not queue behind the hashing of a storm.
# Fewer than the store's pool of connections.
READING_THREADS = 4
# A lock on the store holds up these alone. SQLite allows one write at a time.
WRITING_THREADS = 1
# Beyond this many, networks and new hashes are left for another login, and failures are counted in
# this process: while the store is locked, one write gives up after 4 s.
MAX_BACKGROUND = 100
CROWDED_SECONDS = 0.05  # a few hashes later there may be room
DRAIN_SECONDS = 5.0


class Verifier:
    """Verifies passwords and looks users up. One a process, on one event loop."""

    def __init__(self, checker: Checker) -> None:
        """Start the threads on first use."""
        self._checker = checker
        self._hashing = WorkerPool("hashing", HASHING_THREADS)
        self._reading = WorkerPool("reading", READING_THREADS)
        self._writing = WorkerPool("writing", WRITING_THREADS)
        self._delay = RefusalDelay()
        self._background: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a thread or are in one."""
        return self._reading.waiting + self._hashing.waiting

    async def verify(self, login: Login) -> Allowed | Blocked | None:
        """Return the answer to *login*, ``None`` for a refusal, once it may leave.

        Raises `StoreUnavailable`, `Late` or `UnknownScheme`.
        """
        began = time.monotonic()
        result = await self._decide(login)
        answer = result.answer
        seen = {"user": login.user, "service": login.service, "remote": login.remote}
        if isinstance(answer, Allowed):
            log.info(event("login-allowed", **seen))
            if result.upgrade or result.network:
                self._in_background(partial(self._finish, result))
            return answer
        if isinstance(answer, Blocked):
            log.warning(event("login-blocked", **seen, reason="too many wrong passwords"))
        else:
            log.info(event("login-refused", **seen, reason=answer.reason))
        await asyncio.sleep(began + self._delay.seconds - time.monotonic())
        return answer if isinstance(answer, Blocked) else None

    async def lookup(self, user: str) -> Allowed | None:
        """Return what Dovecot needs to deliver to *user*; ``None`` for an unknown account.

        Raises `StoreUnavailable` or `Late`.
        """
        with self._reading.slot(None):  # for Postfix and LMTP: no client to hold it against
            return await self._reading.run(partial(self._checker.lookup, user))

    async def close(self) -> None:
        """Finish what runs in the background and stop the threads."""
        if self._background:
            await asyncio.wait(self._background, timeout=DRAIN_SECONDS)
        for pool in (self._hashing, self._reading, self._writing):
            pool.close()

    async def _decide(self, login: Login) -> LoginResult:
        """Read, then hash only where reading decides nothing."""
        begun = await self._read(login)
        if isinstance(begun, LoginResult):
            return begun
        with self._hashing.slot(network_of(login.remote)):
            if not self._checker.admit(begun):
                begun = await self._wait_for_others(begun)
            if isinstance(begun, LoginResult):
                return begun
            failed = False
            try:
                check = partial(self._delay.learn, partial(self._checker.decide, begun))
                result = await self._hashing.run(check)
                failed = result.failed
            finally:
                if not failed:
                    self._checker.release(begun)
            if failed:
                self._charge_failure(begun)
            return result

    async def _read(self, login: Login) -> LoginResult | Pending:
        with self._reading.slot(network_of(login.remote)):
            return await self._reading.run(partial(self._checker.begin, login))

    async def _wait_for_others(self, pending: Pending) -> LoginResult | Pending:
        """Return the login decided, or admitted once the checks in progress leave room."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            while not self._checker.admit(pending, to_read_again=True):
                if time.monotonic() > deadline:
                    raise Late("many checks of this account or network are in progress")
                await asyncio.sleep(CROWDED_SECONDS)
            # Only an admitted login reads again: the checks before it may have failed.
            try:
                fresh = await self._read(pending.login)
            finally:
                self._checker.release(pending)
            if isinstance(fresh, LoginResult) or self._checker.admit(fresh):
                return fresh
            pending = fresh

    def _charge_failure(self, pending: Pending) -> None:
        """Have a failure charged; until it is, the check counts as in progress."""

        async def charge() -> None:
            try:
                await self._writing.run_to_end(partial(self._checker.charge, pending))
            finally:
                self._checker.release(pending)

        if not self._in_background(charge):
            self._checker.charge_locally(pending)
            self._checker.release(pending)

    async def _finish(self, result: LoginResult) -> None:
        new_hash = None
        if result.upgrade:
            hash_it = partial(password_hashes.hash_password, result.upgrade.password)
            new_hash = await self._hashing.run_to_end(hash_it)
        await self._writing.run_to_end(partial(self._checker.finish, result, new_hash))

    def _in_background(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do *work* beside the answers; return false, without doing it, when too much waits."""
        if len(self._background) >= MAX_BACKGROUND:
            return False

        async def run() -> None:
            try:
                await work()
            except Exception:  # the edge of work that nobody awaits
                log.exception(event("bug", at="background"))

        task = asyncio.get_running_loop().create_task(run())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return True
