"""Reads the changed rows that the services keep in memory. Without the ORM.

Two of three services need only the core of SQLAlchemy: the ORM and `store.models` would cost each
8 MiB. A test compares the fields here with the columns of the models.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from sqlalchemy import BigInteger, Connection, TableClause, column, select, table

# Rows read at a time: all accounts of a campus at once would take more memory than the copy
# itself. Each is a bound parameter; SQLite allows 32766, PostgreSQL 65535.
BATCH = 1000


class Account(NamedTuple):
    """See `store.models.AccountRow`."""

    id: int
    name: str
    role: str
    condition: str
    initial: bool
    mailbox: int | None
    mailbox_until: int | None
    attachments: int | None
    attachments_until: int | None
    send: str | None
    send_until: int | None
    removed_at: int | None
    rev: int


class Alias(NamedTuple):
    """See `store.models.AliasRow`."""

    account_id: int
    name: str


class Suspension(NamedTuple):
    """See `store.models.SuspensionRow`."""

    account_id: int
    scope: str
    reason: str
    until: int | None
    ended_at: int | None


class Whitelist(NamedTuple):
    """See `store.models.WhitelistRow`."""

    id: int
    network: str
    expires_at: int | None
    ended_at: int | None
    reason: str
    who: str
    rev: int


class _OfAccount(Protocol):
    @property
    def account_id(self) -> int: ...


Owned = TypeVar("Owned", bound=_OfAccount)
_NUMBERS = frozenset({"id", "account_id", "rev", "ended_at"})  # compared in queries


def _table(name: str, fields: Sequence[str]) -> TableClause:
    return table(name, *(column(f, BigInteger if f in _NUMBERS else None) for f in fields))


ACCOUNT = _table("account", Account._fields)
ALIAS = _table("address", Alias._fields)
SUSPENSION = _table("suspension", Suspension._fields)
WHITELIST = _table("whitelist", Whitelist._fields)


def accounts(connection: Connection, since: int) -> Iterator[list[Account]]:
    """Yield the accounts changed after the revision *since*, `BATCH` at a time."""
    query = select(ACCOUNT).where(ACCOUNT.c.rev > since)
    for rows in connection.execute(query).partitions(BATCH):
        yield [Account(*row) for row in rows]


def aliases(connection: Connection, ids: Sequence[int]) -> dict[int, list[Alias]]:
    """Return the aliases of the accounts *ids*, by account."""
    query = select(ALIAS).where(ALIAS.c.account_id.in_(ids))
    return _by_account([Alias(*row) for row in connection.execute(query)])


def suspensions(connection: Connection, ids: Sequence[int]) -> dict[int, list[Suspension]]:
    """Return the suspensions of the accounts *ids* that no operator ended, by account."""
    of_them = SUSPENSION.c.account_id.in_(ids)
    query = select(SUSPENSION).where(SUSPENSION.c.ended_at.is_(None), of_them)
    return _by_account([Suspension(*row) for row in connection.execute(query)])


def whitelist(connection: Connection, since: int) -> list[Whitelist]:
    """Return the exemptions changed after the revision *since*."""
    query = select(WHITELIST).where(WHITELIST.c.rev > since)
    return [Whitelist(*row) for row in connection.execute(query)]


def _by_account(rows: list[Owned]) -> dict[int, list[Owned]]:
    grouped: dict[int, list[Owned]] = {}
    for row in rows:
        grouped.setdefault(row.account_id, []).append(row)
    return grouped
