"""Logins that wait: for the store, for a thread, for other logins of the same account."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeVar
from urllib.parse import urlencode

import pytest

from dovecot_auth import verify as pipeline
from dovecot_auth import worker_pool
from dovecot_auth.check import Checker
from dovecot_auth.http import Request
from dovecot_auth.service import Service
from dovecot_auth.verdict import LoginResult, Pending
from dovecot_auth.verify import HASHING_THREADS, MAX_BACKGROUND
from store.engine import Store
from store.logins import password_hashes
from store.logins.budgets import ACCOUNT_BUDGET
from tests.dovecot_auth.site import Site

T = TypeVar("T")


class SlowStore(Store):
    """A store as slow as a test needs, which counts its reads."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.pause = 0.0
        self.reads = 0

    @contextmanager
    def connection(self) -> Iterator[Any]:
        self.reads += 1
        time.sleep(self.pause)
        with super().connection() as connection:
            yield connection


@pytest.fixture
def store(empty_site: Site) -> Iterator[SlowStore]:
    slow = SlowStore(empty_site.settings.store.url)
    yield slow
    slow.close()


@pytest.fixture
def service(empty_site: Site, store: SlowStore) -> Service:
    return Service(Checker(store, empty_site.settings))


def verify(user: str, password: str, remote: str) -> Request:
    values = {"user": user, "password": password, "service": "imap", "remote": remote}
    return Request("POST", "/verify", urlencode(values).encode(), keep=True)


def test_logins_abandoned_on_a_slow_store_stop_counting_as_in_progress(
    service: Service, store: SlowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> tuple[set[int], int]:
        right = verify("alice", "alice's password", "198.51.100.9")
        store.pause = 0.1  # longer than the deadline
        monkeypatch.setattr(worker_pool, "DEADLINE_SECONDS", 0.06)
        late = [await service.answer(right) for _ in range(ACCOUNT_BUDGET + 2)]
        store.pause = 0.0
        monkeypatch.setattr(worker_pool, "DEADLINE_SECONDS", 2.0)
        status, _ = await service.answer(right)
        await service.close()
        return {status for status, _ in late}, status

    with_store_slow, after = asyncio.run(story())
    assert with_store_slow == {503}
    assert after == 200


def test_a_storm_from_one_network_leaves_room_for_others(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pool, "MAX_WAITING", 20)
    monkeypatch.setattr(worker_pool, "MAX_OF_NETWORK", 5)

    async def story() -> tuple[list[int], int]:
        storm = [
            asyncio.create_task(service.answer(verify(f"name{n}", "wrong", "192.0.2.9")))
            for n in range(40)
        ]
        await asyncio.sleep(0)
        status, _ = await service.answer(verify("alice", "alice's password", "198.51.100.1"))
        statuses = [(await each)[0] for each in storm]
        await service.close()
        return statuses, status

    storm, alice = asyncio.run(story())
    assert alice == 200
    assert (storm.count(401), storm.count(503)) == (5, 35)


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """Hold the lock that every writer needs."""
    path = site.root / "gatepost.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


@pytest.mark.parametrize("background", [MAX_BACKGROUND, 2])
def test_a_locked_store_delays_no_right_login_and_frees_no_guesser(
    service: Service, empty_site: Site, monkeypatch: pytest.MonkeyPatch, background: int
) -> None:
    monkeypatch.setattr(pipeline, "MAX_BACKGROUND", background)
    monkeypatch.setattr(pipeline, "DRAIN_SECONDS", 0.1)

    async def story() -> tuple[list[int], list[int], float]:
        with locked(empty_site):
            guesses = [verify("bob", f"guess {n}", f"198.51.100.{n}") for n in range(60)]
            answers = [asyncio.create_task(service.answer(guess)) for guess in guesses]
            await asyncio.sleep(0.5)
            began = time.monotonic()
            rights = [verify("alice", "alice's password", "192.0.2.7")] * 3
            right = [(await service.answer(each))[0] for each in rights]
            took = time.monotonic() - began
            wrong = [(await answer)[0] for answer in answers]
        await service.close()
        return right, wrong, took

    right, wrong, took = asyncio.run(story())
    assert right == [200, 200, 200]
    assert took < 2
    assert wrong.count(401) <= ACCOUNT_BUDGET
    assert set(wrong) <= {401, 429, 503}


def test_a_bug_in_the_background_is_logged_and_the_login_allowed(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    async def story() -> None:
        monkeypatch.setattr(Checker, "finish", broken)
        status, _ = await service.answer(verify("alice", "alice's password", "192.0.2.7"))
        assert status == 200
        await service.close()

    asyncio.run(story())
    assert "event=bug at=background" in caplog.text


class SlowChecker(Checker):
    """As slow as Argon2, without using CPU time that other tests need."""

    def decide(self, pending: Pending, *, now: int | None = None) -> LoginResult:
        time.sleep(0.02)
        return super().decide(pending, now=now)


def test_there_are_never_more_concurrent_hashes_than_threads(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, at_once, most = threading.Lock(), 0, 0

    def counted(real: Callable[..., T]) -> Callable[..., T]:
        def wrapped(*arguments: str) -> T:
            nonlocal at_once, most
            with lock:
                at_once += 1
                most = max(most, at_once)
            time.sleep(0.01)
            try:
                return real(*arguments)
            finally:
                with lock:
                    at_once -= 1

        return wrapped

    monkeypatch.setattr(password_hashes, "verify", counted(password_hashes.verify))
    monkeypatch.setattr(password_hashes, "hash_password", counted(password_hashes.hash_password))

    async def story() -> set[int]:
        storm = [verify("alice", "alice's password", f"198.51.100.{n % 250}") for n in range(200)]
        answers = await asyncio.gather(*(service.answer(each) for each in storm))
        await service.close()
        return {status for status, _ in answers}

    assert 200 in asyncio.run(story())
    assert 0 < most <= HASHING_THREADS


def test_a_login_waiting_for_others_reads_the_store_only_in_its_turn(
    store: SlowStore, empty_site: Site
) -> None:
    auth = empty_site.settings.auth.model_copy(update={"cache_seconds": 0, "upgrade_hashes": False})
    settings = empty_site.settings.model_copy(update={"auth": auth})
    service, many = Service(SlowChecker(store, settings)), ACCOUNT_BUDGET + 30

    async def story() -> set[int]:
        crowd = [verify("alice", "alice's password", f"198.51.100.{n}") for n in range(many)]
        answers = await asyncio.gather(*(service.answer(each) for each in crowd))
        await service.close()
        return {status for status, _ in answers}

    store.reads = 0
    assert asyncio.run(story()) == {200}  # right passwords are never refused because of a crowd
    assert store.reads <= many + 2 * 30
