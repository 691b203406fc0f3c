"""Every statement of every change fails in turn (check 21), as SQLite's own I/O error tests do."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count

import pytest
from sqlalchemy import PoolProxiedConnection, event

from config.settings import Settings
from dovecot_auth.check import Checker
from dovecot_auth.verdict import Allowed, Login
from store.engine import Store
from store.errors import StoreUnavailable
from store.limits import whitelist
from store.limits.reset import reset_usage
from store.logins import guesses
from store.logins.attempt import read_attempt
from store.logins.budgets import KNOWN_SECONDS, Budget
from store.logins.credentials import upgrade_hash
from store.memory.directory import Directory
from store.models import Base
from store.people import accounts, view
from store.people.accounts import NewAccount
from store.people.suspension import resume, suspend
from tests.conftest import CHANGE

NOW = 1_800_000_000
HASH = "{PLAIN}secret"
BUDGETS = (Budget("a", 50, 600), Budget("b", 50, 600), Budget("c", 50, 600))


@pytest.fixture
def store(store: Store, settings: Settings) -> Store:
    """Return a store in which each change below has something to change."""
    new = NewAccount("anna", "staff", password=HASH, aliases=("a.smith",))
    accounts.add(store, settings, new, change=CHANGE, now=NOW)
    accounts.add(store, settings, NewAccount("ben", "student"), change=CHANGE, now=NOW)
    suspend(store, settings, "ben", scope="sending", seconds=None, change=CHANGE, now=NOW)
    whitelist.add(store, "192.0.2.7", seconds=60, change=CHANGE, now=NOW)
    guesses.charge(store, [Budget("old", 50, 600)], now=NOW)
    guesses.remember(store, 1, "192.0.2.8", now=NOW - KNOWN_SECONDS)
    return store


def _add(store: Store, settings: Settings) -> None:
    new = NewAccount("carol", "alumni", password=HASH, initial=True, aliases=("c.smith",))
    accounts.add(store, settings, new, change=CHANGE, now=NOW)


def _set(store: Store, settings: Settings) -> None:
    fields = {"role": "student", "send": "3/1h"}
    accounts.set_fields(
        store, settings, "anna", fields=fields, aliases=("a.b",), change=CHANGE, now=NOW
    )


def _passwd(store: Store, settings: Settings) -> None:
    accounts.set_password(
        store, settings, "anna", "{PLAIN}new", how="reset", change=CHANGE, now=NOW
    )


def _suspend(store: Store, settings: Settings) -> None:
    suspend(store, settings, "anna", scope="everything", seconds=60, change=CHANGE, now=NOW)


CHANGES: dict[str, Callable[[Store, Settings], object]] = {
    "account.add": _add,
    "account.set": _set,
    "account.passwd": _passwd,
    "account.remove": lambda s, c: accounts.remove(s, c, "anna", change=CHANGE, now=NOW),
    "account.suspend": _suspend,
    "account.resume": lambda s, c: resume(s, c, "ben", change=CHANGE, now=NOW),
    "whitelist.add": lambda s, _: whitelist.add(
        s, "192.0.2.9", seconds=None, change=CHANGE, now=NOW
    ),
    "whitelist.revoke": lambda s, _: whitelist.revoke(s, "192.0.2.7", change=CHANGE, now=NOW),
    "whitelist.expire": lambda s, _: whitelist.expire(s, change=CHANGE, now=NOW + 61),
    "limit.reset": lambda s, _: reset_usage(s, "account anna", change=CHANGE),
    "guesses.charge": lambda s, _: guesses.charge(s, BUDGETS, now=NOW),
    "guesses.remember": lambda s, _: guesses.remember(s, 1, "192.0.2.9", now=NOW),
    "guesses.reset": lambda s, _: guesses.reset_failures(s, "anna"),
    "guesses.expire": lambda s, _: guesses.delete_expired(s, now=NOW + 10_000_000),
    "upgrade_hash": lambda s, _: upgrade_hash(s, 1, old=HASH, new="{PLAIN}x", now=NOW),
}
READS: dict[str, Callable[[Store, Settings], object]] = {
    "account.show": lambda s, c: view.get(s, c, "anna"),
    "account.list": lambda s, _: view.list_accounts(s),
    "whitelist.list": lambda s, _: whitelist.listed(s, now=NOW),
    "login": lambda s, c: read_attempt(s, c, "anna", remote="192.0.2.7", now=NOW),
    "directory": lambda s, c: Directory(s, c).refresh(),
}


@contextmanager
def failing(store: Store, number: int) -> Iterator[list[int]]:
    """Fail the *number*-th statement or commit, counted from 1, as a full or broken disk does.

    Yields a list that is not empty once something is committed.
    """
    committed: list[int] = []
    left, commit = number, store.engine.dialect.do_commit

    def step(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise sqlite3.OperationalError("disk I/O error")

    def failing_commit(dbapi_connection: PoolProxiedConnection) -> None:
        try:
            step()
        except sqlite3.OperationalError:
            dbapi_connection.rollback()  # as SQLite does by itself (vdbeaux.c, sqlite3VdbeHalt)
            raise
        commit(dbapi_connection)
        committed.append(number)

    event.listen(store.engine, "before_cursor_execute", step)
    store.engine.dialect.do_commit = failing_commit  # type: ignore[method-assign]
    try:
        yield committed
    finally:
        event.remove(store.engine, "before_cursor_execute", step)
        store.engine.dialect.do_commit = commit  # type: ignore[method-assign]


def rows(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Return all that is in the store."""
    with store.connection() as connection:
        return {
            table.name: sorted(tuple(row) for row in connection.execute(table.select()))
            for table in Base.metadata.sorted_tables
        }


def steps_until_success(store: Store, settings: Settings, name: str) -> int:
    """Fail step 1, 2, … of a change until it succeeds; return how many there were."""
    change, before = CHANGES[name], rows(store)
    for number in count(1):
        with failing(store, number) as committed, suppress(StoreUnavailable):
            change(store, settings)
            break
        if committed:
            break  # only reading the result back has failed
        assert rows(store) == before, f"half a change after step {number}"
    return number - 1


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_whole_or_absent_whichever_statement_fails(
    store: Store, settings: Settings, name: str
) -> None:
    before = rows(store)
    steps = steps_until_success(store, settings, name)
    assert steps >= 2  # a statement and the commit
    changed = rows(store) != before
    assert changed or name == "guesses.reset"  # anna has no failures to reset


@pytest.mark.parametrize("name", READS)
def test_a_read_says_unavailable_whichever_statement_fails(
    store: Store, settings: Settings, name: str
) -> None:
    for number in count(1):
        try:
            with failing(store, number):
                READS[name](store, settings)
        except StoreUnavailable:
            continue
        break
    assert number > 1


def test_a_wrong_password_is_never_allowed_whichever_statement_fails(
    store: Store, settings: Settings
) -> None:
    checker = Checker(store, settings)
    for number in count(1):
        answer = None
        try:
            with failing(store, number):
                answer = checker.verify(
                    Login("anna", f"wrong {number}", "imap", "192.0.2.7")
                ).answer
        except StoreUnavailable:
            continue
        assert not isinstance(answer, Allowed)
        if number > 10:
            break
