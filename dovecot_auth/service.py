"""authd, the resident checker: HTTP on unix sockets, hashing in a few threads.

Asked by `dovecot_auth.checkpassword` and ``passdb.lua``:

    POST /verify  user, password, service, remote   200 fields · 401 refused · 429 guessed
    POST /user    user, service                     200 fields · 404 nobody of ours
    GET  /health                                    200
    anything from a user who may not ask            403, see `dovecot_auth.connections`

503 means "try later": store away, too many waiting, a hash nobody can check, or our
bug (with its traceback in the log). A refusal leaves after a time of its own
(`dovecot_auth.refusal_delay`) whatever its reason, so that its time tells nothing. A right
login waits for no writing: what is to be written is done by another thread, later.
Trusts whom it answers: they may claim any remote address, and so may guess.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial

from config.daemon.logs import fields
from dovecot_auth.check import Checker
from dovecot_auth.http import ProtocolError, Request, form
from dovecot_auth.refusal_delay import RefusalDelay
from dovecot_auth.verdict import Allowed, Blocked, Login, LoginResult, Pending
from dovecot_auth.worker_pool import DEADLINE_SECONDS, Late, WorkerPool
from store.errors import StoreUnavailable
from store.logins import password_hashes
from store.logins.budgets import network_of
from store.logins.schemes import UnknownScheme

log = logging.getLogger(__name__)

# Each check takes one core and 19 MiB for 20 ms; more threads than cores only take turns.
HASHING_THREADS = max(2, os.cpu_count() or 1)
# These wait for the database, not for the processor, and must not queue behind the hashing
# of a storm. Below the store's pool of connections.
READING_THREADS = 4
# A lock on the store holds up these alone. SQLite lets one write at a time.
WRITING_THREADS = 1
# Beyond this many, places and upgrades are left for another login, and failures are counted
# here: while the store is locked, one write gives up after 4 s.
MAX_CHORES = 100
CROWDED_SECONDS = 0.05  # a few hashes later there may be room
DRAIN_SECONDS = 5.0

Response = tuple[int, dict[str, str]]


class Service:
    """Answers questions. One a process; knows nothing of sockets."""

    def __init__(self, checker: Checker) -> None:
        """Start the threads on first use."""
        self._checker = checker
        self._hashing = WorkerPool("hashing", HASHING_THREADS)
        self._reading = WorkerPool("reading", READING_THREADS)
        self._writing = WorkerPool("writing", WRITING_THREADS)
        self._floor = RefusalDelay()
        self._chores: set[asyncio.Task[None]] = set()

    async def answer(self, request: Request) -> Response:
        """Return status and fields for one request. Raises only `ProtocolError`."""
        try:
            match request.method, request.path:
                case "POST", "/verify":
                    return await self._verify(form(request.body))
                case "POST", "/user":
                    return await self._user(form(request.body))
                case "GET", "/health":
                    waiting = self._reading.waiting + self._hashing.waiting
                    return 200, {"status": "ok", "waiting": str(waiting)}
                case _:
                    return 400, {"reason": "no such question"}
        except ProtocolError:
            raise
        except (StoreUnavailable, Late) as error:
            log.warning("try later %s", fields(path=request.path, why=error))
            return 503, {"reason": "try later"}
        except UnknownScheme as error:  # an operator must set a new password
            log.error("unusable hash %s", fields(why=error))  # noqa: TRY400 - no bug to trace
            return 503, {"reason": "try later"}
        except Exception:  # the edge: our bug must be "try later", never "wrong password"
            log.exception("bug %s", fields(path=request.path))
            return 503, {"reason": "try later"}

    async def close(self) -> None:
        """Finish the chores and stop the threads."""
        if self._chores:
            await asyncio.wait(self._chores, timeout=DRAIN_SECONDS)
        for threads in (self._hashing, self._reading, self._writing):
            threads.close()

    async def _verify(self, asked: dict[str, str]) -> Response:
        began = time.monotonic()
        login = Login(
            user=_needed(asked, "user"),
            password=_needed(asked, "password"),
            service=asked.get("service", ""),
            remote=asked.get("remote", ""),
        )
        verdict = await self._decided(login)
        answer = verdict.answer
        seen = fields(user=login.user, service=login.service, remote=login.remote)
        if isinstance(answer, Allowed):
            log.info("allowed %s", seen)
            if verdict.upgrade or verdict.place:
                self._later(partial(self._finish, verdict))
            return 200, answer.fields()
        if isinstance(answer, Blocked):
            log.warning("too many wrong passwords %s", seen)
        else:
            log.info("refused %s %s", seen, fields(why=answer.reason))
        await asyncio.sleep(began + self._floor.seconds - time.monotonic())
        if isinstance(answer, Blocked):
            return 429, {"reason": "too many wrong passwords"}
        return 401, {"reason": "refused"}

    async def _decided(self, login: Login) -> LoginResult:
        """Read first: whom the store or the memory decides need not wait for a hasher."""
        checker = self._checker
        begun = await self._begun(checker, login)
        if isinstance(begun, LoginResult):
            return begun
        with self._hashing.place(network_of(login.remote)):
            if not checker.admit(begun):
                begun = await self._after_others(checker, begun)
            if isinstance(begun, LoginResult):
                return begun
            failed = False
            try:
                check = partial(self._floor.learn, partial(checker.decide, begun))
                verdict = await self._hashing.run(check)
                failed = verdict.failed
            finally:
                if not failed:
                    checker.release(begun)
            if failed:
                self._failed(checker, begun)
            return verdict

    async def _after_others(self, checker: Checker, begun: Pending) -> LoginResult | Pending:
        """Return the login admitted, or decided, once fewer are checked than may fail."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            while not checker.admit(begun, to_ask_again=True):
                if time.monotonic() > deadline:
                    raise Late("many checks of this account or network are in progress")
                await asyncio.sleep(CROWDED_SECONDS)
            # Only who has a place asks the store again: those before may have failed.
            try:
                fresh = await self._begun(checker, begun.login)
            finally:
                checker.release(begun)
            if isinstance(fresh, LoginResult) or checker.admit(fresh):
                return fresh
            begun = fresh

    async def _begun(self, checker: Checker, login: Login) -> LoginResult | Pending:
        with self._reading.place(network_of(login.remote)):
            return await self._reading.run(partial(checker.begin, login))

    async def _user(self, asked: dict[str, str]) -> Response:
        user = _needed(asked, "user")
        with self._reading.place(None):  # Postfix and LMTP ask, for nobody in particular
            found = await self._reading.run(partial(self._checker.lookup, user))
        return (200, found.fields()) if found else (404, {"reason": "nobody of ours"})

    def _failed(self, checker: Checker, begun: Pending) -> None:
        """Have a failure charged; until it is, the check counts as in progress."""

        async def charge() -> None:
            try:
                await self._writing.do(partial(checker.charge, begun))
            finally:
                checker.release(begun)

        if not self._later(charge):
            checker.charge_here(begun)
            checker.release(begun)

    async def _finish(self, verdict: LoginResult) -> None:
        new = None
        if verdict.upgrade:
            new = await self._hashing.do(
                partial(password_hashes.hash_password, verdict.upgrade.password)
            )
        await self._writing.do(partial(self._checker.finish, verdict, new))

    def _later(self, chore: Callable[[], Awaitable[None]]) -> bool:
        """Do *chore* beside the answers, unless too many wait."""
        if len(self._chores) >= MAX_CHORES:
            return False

        async def done() -> None:
            try:
                await chore()
            except Exception:  # the edge of what nobody waits for
                log.exception("bug in a chore")

        task = asyncio.get_running_loop().create_task(done())
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
        return True


def _needed(asked: dict[str, str], name: str) -> str:
    if name not in asked:
        raise ProtocolError(f"no {name} in the form")
    return asked[name]
