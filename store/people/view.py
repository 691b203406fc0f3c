"""Accounts as operators see them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from config.settings import Settings
from config.units import Bytes, UnixSeconds
from store.engine import Store
from store.errors import NotFound
from store.models import AccountRow, AliasRow, SuspensionRow
from store.people.entitlements import in_force
from store.people.names import intended_name

Owned = TypeVar("Owned", AliasRow, SuspensionRow)


@dataclass(frozen=True, slots=True)
class ActiveSuspension:
    """A suspension in force."""

    scope: str
    reason: str
    created_at: UnixSeconds
    until: UnixSeconds | None


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as operators see it; no secret in it."""

    name: str
    role: str
    condition: str
    initial: bool  # still on the password made from the identity document
    has_password: bool
    has_identity: bool
    second_mailbox: str | None
    aliases: tuple[str, ...]
    mailbox: Bytes | None
    mailbox_until: UnixSeconds | None
    attachments: Bytes | None
    attachments_until: UnixSeconds | None
    send: str | None
    send_until: UnixSeconds | None
    suspended: tuple[ActiveSuspension, ...]
    created_at: UnixSeconds


def get(
    store: Store, settings: Settings, name: str, *, now: UnixSeconds | None = None
) -> AccountView:
    """Return the account of *name* or of the alias *name*; raise `NotFound`."""
    with store.reading() as session:
        at = store.now(session, now)
        return view_of(session, row_of(session, settings, name), at)


def identity_of(store: Store, settings: Settings, name: str) -> str | None:
    """Return the keyed hash of the identity number on file; raise `NotFound`."""
    with store.reading() as session:
        return row_of(session, settings, name).identity


def list_accounts(
    store: Store,
    *,
    role: str | None = None,
    condition: str | None = None,
    search: str | None = None,
    now: UnixSeconds | None = None,
) -> list[AccountView]:
    """Return accounts by name, narrowed to a role, a condition, or names containing *search*."""
    query = select(AccountRow).where(AccountRow.removed_at.is_(None)).order_by(AccountRow.name)
    if role is not None:
        query = query.where(AccountRow.role == role)
    if condition is not None:
        query = query.where(AccountRow.condition == condition)
    if search is not None:
        query = query.where(AccountRow.name.contains(search.casefold(), autoescape=True))
    with store.reading() as session:
        at = store.now(session, now)
        rows = session.scalars(query).all()
        # Two queries for all accounts, not two for each.
        aliases = _by_account(session.scalars(select(AliasRow)).all())
        stops = _by_account(session.scalars(_suspensions()).all())
        return [_build(row, aliases.get(row.id, []), stops.get(row.id, []), at) for row in rows]


def row_of(session: Session, settings: Settings, name: str) -> AccountRow:
    """Return the row of *name* or of the alias *name*; raise `NotFound`."""
    wanted = intended_name(name, settings.site)
    if not wanted.isprintable():  # no database takes bytes that are not text
        raise NotFound(f"no account {name!r}")
    # Two queries, each served by an index: joined by OR, PostgreSQL and MariaDB read
    # the whole table at every login.
    held = select(AccountRow).where(AccountRow.removed_at.is_(None))
    row = session.scalar(held.where(AccountRow.name == wanted))
    if row is None:
        row = session.scalar(held.join(AliasRow).where(AliasRow.name == wanted))
    if row is None:
        raise NotFound(f"no account {name!r}")
    return row


def _suspensions() -> Select[SuspensionRow]:
    """Return those that no operator ended; whether their time is over, `_build` asks."""
    return select(SuspensionRow).where(SuspensionRow.ended_at.is_(None))


def view_of(session: Session, row: AccountRow, now: UnixSeconds) -> AccountView:
    """Return the account of *row* as it is at *now*."""
    aliases = session.scalars(select(AliasRow).where(AliasRow.account_id == row.id)).all()
    stops = session.scalars(_suspensions().where(SuspensionRow.account_id == row.id)).all()
    return _build(row, aliases, stops, now)


def _by_account(rows: Iterable[Owned]) -> dict[int, list[Owned]]:
    grouped: dict[int, list[Owned]] = {}
    for row in rows:
        grouped.setdefault(row.account_id, []).append(row)
    return grouped


def _build(
    row: AccountRow,
    aliases: Sequence[AliasRow],
    stops: Sequence[SuspensionRow],
    now: UnixSeconds,
) -> AccountView:
    return AccountView(
        name=row.name,
        role=row.role,
        condition=row.condition,
        initial=row.initial,
        has_password=row.password is not None,
        has_identity=row.identity is not None,
        second_mailbox=row.second_mailbox,
        aliases=tuple(sorted(alias.name for alias in aliases)),
        mailbox=row.mailbox,
        mailbox_until=row.mailbox_until,
        attachments=row.attachments,
        attachments_until=row.attachments_until,
        send=row.send,
        send_until=row.send_until,
        suspended=tuple(
            ActiveSuspension(s.scope, s.reason, s.created_at, s.until)
            for s in stops
            if in_force(s.until, now)
        ),
        created_at=row.created_at,
    )
