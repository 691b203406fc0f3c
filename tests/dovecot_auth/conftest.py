"""A site with accounts in every state, with and without authd."""

from collections.abc import Iterator

import pytest

from dovecot_auth.check import Checker
from store.logins import password_hashes
from store.people.suspension import suspend
from tests.dovecot_auth.site import CHANGE, Site, new_site


def with_accounts(site: Site) -> Site:
    """Add alice and bob, carol (suspended), dave (suspended from sending), erin (no password)."""
    for name in ("alice", "bob", "carol", "dave"):
        site.account(name, f"{name}'s password")
    site.account("erin", None)
    suspend(site.store, site.settings, "carol", scope="everything", seconds=None, change=CHANGE)
    suspend(site.store, site.settings, "dave", scope="sending", seconds=None, change=CHANGE)
    return site


@pytest.fixture
def empty_site() -> Iterator[Site]:
    """A site with accounts; authd is not running."""
    with new_site() as site:
        yield with_accounts(site)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site with accounts and authd; tests must leave its accounts as they are."""
    with new_site() as site, with_accounts(site).running():
        yield site


@pytest.fixture
def checker(empty_site: Site) -> Checker:
    return Checker(empty_site.store, empty_site.settings)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the hashes that are checked, in their order."""
    seen: list[str] = []
    real = password_hashes.verify

    def counted(password: str, stored: str) -> bool:
        seen.append(stored)
        return real(password, stored)

    monkeypatch.setattr(password_hashes, "verify", counted)
    return seen
