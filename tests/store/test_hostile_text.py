"""Hostile text through the functions of the store is kept as it is, or refused (check 26).

Bytes that are not UTF-8 get this far in login names only: the command line and policyd refuse
them, or match them with no account.
"""

from collections.abc import Callable
from contextlib import suppress

import pytest

from config.settings import Settings
from store import audit
from store.audit import AuditContext
from store.engine import Store
from store.errors import Refused
from store.limits import whitelist
from store.limits.reset import reset_usage
from store.logins import guesses
from store.logins.attempt import read_attempt
from store.logins.budgets import Budget
from store.logins.credentials import credentials
from store.memory.directory import Directory
from store.people import accounts, view
from store.people.accounts import NewAccount
from store.people.suspension import suspend
from tests.conftest import CHANGE

NOW = 1_800_000_000
HOSTILE = (
    "' OR 1=1 --",
    '"; DROP TABLE account; --',
    "\\' OR \\",
    "%",
    "_",
    "%s %(name)s {0} :name ?",
    "anna\0",
    "anna\r\nX-Header: y",
    "\N{PILE OF POO}",
    "e\u0301\u202e",
    "a" * 65536,
)


def _keep(store: Store, settings: Settings, field: str, text: str) -> str | None:
    accounts.set_fields(store, settings, "anna", fields={field: text}, change=CHANGE, now=NOW)
    kept: str | None = getattr(view.get(store, settings, "anna"), field)
    return kept


def _password(store: Store, settings: Settings, text: str) -> str | None:
    accounts.set_password(store, settings, "anna", text, how="reset", change=CHANGE, now=NOW)
    found = credentials(store, settings, "anna")
    return found.password if found else None


def _reason(store: Store, settings: Settings, text: str) -> str:
    why = AuditContext("tester", text)
    suspend(store, settings, "anna", scope="sending", seconds=None, change=why, now=NOW)
    (entry, *_) = audit.entries(store)
    return entry.why


def _who(store: Store, _: Settings, text: str) -> str:
    why = AuditContext(text, "a reason")
    return whitelist.add(store, "192.0.2.7", seconds=60, change=why, now=NOW).who


KEPT: dict[str, Callable[[Store, Settings, str], str | None]] = {
    "role": lambda s, c, text: _keep(s, c, "role", text),
    "condition": lambda s, c, text: _keep(s, c, "condition", text),
    "second_mailbox": lambda s, c, text: _keep(s, c, "second_mailbox", text),
    "send": lambda s, c, text: _keep(s, c, "send", text),
    "password": _password,
    "reason": _reason,
    "who": _who,
}


@pytest.fixture
def store(store: Store, settings: Settings) -> Store:
    """Return a store with one account."""
    accounts.add(store, settings, NewAccount("anna", "staff"), change=CHANGE, now=NOW)
    return store


@pytest.mark.parametrize("field", KEPT)
def test_hostile_text_is_kept_unchanged_or_refused(
    store: Store, settings: Settings, field: str
) -> None:
    for text in HOSTILE:
        with suppress(Refused):
            kept = KEPT[field](store, settings, text)
            # What has a bounded column is cut, not changed.
            assert kept == text or (kept == text[:255])


def test_hostile_names_find_nobody(store: Store, settings: Settings) -> None:
    directory = Directory(store, settings)
    directory.refresh()
    for text in HOSTILE:
        with suppress(Refused):
            assert credentials(store, settings, text) is None
        with suppress(Refused):  # which `NotFound` is
            assert view.get(store, settings, text) is None, text
        assert read_attempt(store, settings, text, remote=text, now=NOW).account is None
        assert directory.person(text) is None


def test_hostile_subjects_touch_no_other(store: Store, settings: Settings) -> None:
    guesses.charge(store, [Budget("account anna", 50, 600)], now=NOW)
    for text in HOSTILE:
        with suppress(Refused):  # NUL, on PostgreSQL
            reset_usage(store, text, change=CHANGE)
            guesses.reset_failures(store, text)
        with pytest.raises(ValueError, match="not an IP address"):
            guesses.reset_network_failures(store, text)
    left = read_attempt(store, settings, "anna", remote="192.0.2.7", now=NOW).state.left
    assert min(left.values()) < max(left.values())


def test_a_login_name_that_is_not_utf_8_is_unknown(store: Store, settings: Settings) -> None:
    assert read_attempt(store, settings, "anna\udcff", remote="192.0.2.7", now=NOW).account is None
