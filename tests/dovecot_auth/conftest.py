"""A place with accounts in every state, and authd answering for it."""

from collections.abc import Iterator

import pytest

from store.people.suspension import suspend
from tests.dovecot_auth.site import CHANGE, Place, place


def people(where: Place) -> Place:
    """Make alice and bob, carol (stopped), dave (may not send) and erin (no password)."""
    for name in ("alice", "bob", "carol", "dave"):
        where.account(name, f"{name}'s password")
    where.account("erin", None)
    suspend(where.store, where.settings, "carol", scope="everything", seconds=None, change=CHANGE)
    suspend(where.store, where.settings, "dave", scope="sending", seconds=None, change=CHANGE)
    return where


@pytest.fixture
def empty_house() -> Iterator[Place]:
    """A place with its people, nobody answering."""
    with place() as where:
        yield people(where)


@pytest.fixture(scope="module")
def house() -> Iterator[Place]:
    """A place with its people and authd running; tests must leave its people as they are."""
    with place() as where, people(where).running():
        yield where
