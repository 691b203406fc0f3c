"""A place with accounts in every state, and authd answering for it."""

from collections.abc import Iterator

import pytest

from store.people.suspension import suspend
from tests.dovecot_auth.site import CHANGE, Site, new_site


def with_accounts(site: Site) -> Site:
    """Make alice and bob, carol (stopped), dave (may not send) and erin (no password)."""
    for name in ("alice", "bob", "carol", "dave"):
        site.account(name, f"{name}'s password")
    site.account("erin", None)
    suspend(site.store, site.settings, "carol", scope="everything", seconds=None, change=CHANGE)
    suspend(site.store, site.settings, "dave", scope="sending", seconds=None, change=CHANGE)
    return site


@pytest.fixture
def empty_site() -> Iterator[Site]:
    """A place with its people, nobody answering."""
    with new_site() as site:
        yield with_accounts(site)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A place with its people and authd running; tests must leave its people as they are."""
    with new_site() as site, with_accounts(site).running():
        yield site
