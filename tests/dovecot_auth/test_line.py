"""Logins that wait: for the store, for a thread, for other logins of the same account."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest

from dovecot_auth import authd
from dovecot_auth.authd import Service
from dovecot_auth.check import Checker
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
        monkeypatch.setattr(authd, "DEADLINE_SECONDS", 0.06)
        late = [await service.answer(right) for _ in range(ACCOUNT_BUDGET + 2)]
        store.pause = 0.0
        monkeypatch.setattr(authd, "DEADLINE_SECONDS", 2.0)
        status, _ = await service.answer(right)
        await service.close()
        return {status for status, _ in late}, status

    with_store_slow, after = asyncio.run(story())
    assert with_store_slow == {503}
    assert after == 200
