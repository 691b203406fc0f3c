"""Logins that wait: for the store, for a thread, for other logins of the same account."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest

from dovecot_auth import threads
from dovecot_auth.authd import Service
from dovecot_auth.check import Checker, Pending, Verdict
from dovecot_auth.http import Request
from store.engine import Store
from store.guesses import ACCOUNT_BUDGET
from tests.dovecot_auth.place import Place


class SlowStore(Store):
    """A store that is as slow as a test wants, and counts what is read of it."""

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
def store(empty_house: Place) -> Iterator[SlowStore]:
    slow = SlowStore(empty_house.settings.store.url)
    yield slow
    slow.close()


@pytest.fixture
def service(empty_house: Place, store: SlowStore) -> Service:
    return Service(Checker(store, empty_house.settings))


def verify(user: str, password: str, remote: str) -> Request:
    asked = {"user": user, "password": password, "service": "imap", "remote": remote}
    return Request("POST", "/verify", urlencode(asked).encode(), keep=True)


def test_logins_given_up_while_the_store_was_slow_do_not_count_for_ever(
    service: Service, store: SlowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> tuple[set[int], int]:
        right = verify("alice", "alice's password", "198.51.100.9")
        store.pause = 0.1  # longer than anybody waits
        monkeypatch.setattr(threads, "DEADLINE_SECONDS", 0.06)
        late = [await service.answer(right) for _ in range(ACCOUNT_BUDGET + 2)]
        store.pause = 0.0
        monkeypatch.setattr(threads, "DEADLINE_SECONDS", 2.0)
        status, _ = await service.answer(right)
        await service.close()
        return {status for status, _ in late}, status

    with_store_slow, after = asyncio.run(story())
    assert with_store_slow == {503}
    assert after == 200


def test_a_storm_from_one_network_leaves_room_for_everybody_else(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "MAX_WAITING", 20)
    monkeypatch.setattr(threads, "MAX_OF_NETWORK", 5)

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


class SlowChecker(Checker):
    """As slow as Argon2, without taking the processor from other tests."""

    def decide(self, pending: Pending, *, now: int | None = None) -> Verdict:
        time.sleep(0.02)
        return super().decide(pending, now=now)


def test_who_waits_for_others_of_an_account_asks_the_store_only_when_it_is_his_turn(
    store: SlowStore, empty_house: Place
) -> None:
    auth = empty_house.settings.auth.model_copy(
        update={"cache_seconds": 0, "upgrade_hashes": False}
    )
    settings = empty_house.settings.model_copy(update={"auth": auth})
    service, many = Service(SlowChecker(store, settings)), ACCOUNT_BUDGET + 30

    async def story() -> set[int]:
        crowd = [verify("alice", "alice's password", f"198.51.100.{n}") for n in range(many)]
        answers = await asyncio.gather(*(service.answer(each) for each in crowd))
        await service.close()
        return {status for status, _ in answers}

    store.reads = 0
    assert asyncio.run(story()) == {200}  # the right ones are never refused for a crowd
    assert store.reads <= many + 2 * 30
