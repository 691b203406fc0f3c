"""Accounts as the command line shows them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from config.settings import Settings
from store.engine import Store
from store.errors import NotFound
from store.models import AccountRow, AliasRow, SuspensionRow
from store.people.names import named

Owned = TypeVar("Owned", AliasRow, SuspensionRow)


@dataclass(frozen=True, slots=True)
class ActiveSuspension:
    """A suspension in force."""

    scope: str
    reason: str
    created_at: int
    until: int | None


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
    mailbox: int | None
    mailbox_until: int | None
    attachments: int | None
    attachments_until: int | None
    send: str | None
    send_until: int | None
    suspended: tuple[ActiveSuspension, ...]
    created_at: int


def get(store: Store, settings: Settings, name: str, *, now: int | None = None) -> AccountView:
    """Return the account of *name* or of the alias *name*; raise `NotFound`."""
    with store.reading() as session:
        at = store.now(session) if now is None else now
        return _view(session, row_of(session, settings, name), at)


def identity_of(store: Store, settings: Settings, name: str) -> str | None:
    """Return the keyed hash of the identity number on file; raise `NotFound`."""
    with store.reading() as session:
        return row_of(session, settings, name).identity


def listed(
    store: Store,
    *,
    role: str | None = None,
    condition: str | None = None,
    search: str | None = None,
    now: int | None = None,
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
        at = store.now(session) if now is None else now
        rows = session.scalars(query).all()
        # Two queries for all, not two for each.
        aliases = _by_account(session.scalars(select(AliasRow)).all())
        stops = _by_account(session.scalars(_in_force(at)).all())
        return [_shown(row, aliases.get(row.id, []), stops.get(row.id, [])) for row in rows]


def row_of(session: Session, settings: Settings, name: str) -> AccountRow:
    """Return the row of *name* or of the alias *name*; raise `NotFound`."""
    wanted = named(name, settings.site)
    if not wanted.isprintable():  # bytes that are no text, which no database takes
        raise NotFound(f"no account {name!r}")
    # Two questions, each answered by an index: joined by OR, PostgreSQL and MariaDB read
    # the whole table at every login.
    held = select(AccountRow).where(AccountRow.removed_at.is_(None))
    row = session.scalar(held.where(AccountRow.name == wanted))
    if row is None:
        row = session.scalar(held.join(AliasRow).where(AliasRow.name == wanted))
    if row is None:
        raise NotFound(f"no account {name!r}")
    return row


def _in_force(now: int) -> Select[SuspensionRow]:
    return select(SuspensionRow).where(
        SuspensionRow.ended_at.is_(None),
        or_(SuspensionRow.until.is_(None), SuspensionRow.until > now),
    )


def _view(session: Session, row: AccountRow, now: int) -> AccountView:
    aliases = session.scalars(select(AliasRow).where(AliasRow.account_id == row.id)).all()
    stops = session.scalars(_in_force(now).where(SuspensionRow.account_id == row.id)).all()
    return _shown(row, aliases, stops)


def _by_account(rows: Iterable[Owned]) -> dict[int, list[Owned]]:
    grouped: dict[int, list[Owned]] = {}
    for row in rows:
        grouped.setdefault(row.account_id, []).append(row)
    return grouped


def _shown(
    row: AccountRow, aliases: Sequence[AliasRow], stops: Sequence[SuspensionRow]
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
        suspended=tuple(ActiveSuspension(s.scope, s.reason, s.created_at, s.until) for s in stops),
        created_at=row.created_at,
    )
