"""Create, change and remove accounts. Every change is one transaction with its audit row.

Names are accepted as people write them and made canonical here (`store.people.names`); an alias
finds its account. Passwords arrive as hashes in Dovecot's notation: this file never sees one.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config.settings import Settings
from config.units import UnixSeconds
from store.audit import AuditContext, Transaction, transaction
from store.engine import Store
from store.errors import Refused
from store.models import AccountRow, AliasRow, PasswordEventRow
from store.people.fields import (
    check_alias,
    check_condition,
    check_role,
    second_mailbox,
    send_limits,
)
from store.people.names import account_name, intended_name
from store.people.view import AccountView, row_of, view_of

How = Literal["initial", "reset", "changed", "upgraded"]
DEFAULT_CONDITION = "normal"
MAX_ALIASES = 50  # per account: every service keeps all of them in memory


@dataclass(frozen=True, slots=True)
class NewAccount:
    """The fields of a new account. *password* is a hash, *identity* a keyed hash."""

    name: str
    role: str
    condition: str = DEFAULT_CONDITION
    password: str | None = None
    initial: bool = False
    identity: str | None = None
    second_mailbox: str | None = None
    aliases: tuple[str, ...] = ()


def add(
    store: Store,
    settings: Settings,
    new: NewAccount,
    *,
    change: AuditContext,
    now: UnixSeconds | None = None,
) -> AccountView:
    """Create an account; raise `Refused` when the name or an alias is taken."""
    with transaction(store, change, now=now) as tx:
        row = add_in(tx, settings, new)
        return view_of(tx.session, row, tx.at)


def add_in(tx: Transaction, settings: Settings, new: NewAccount) -> AccountRow:
    """Create an account as a part of *tx*."""
    session, rev = tx.session, tx.rev()  # no name is taken or freed from here on
    check_role(settings, new.role)
    check_condition(new.condition)
    name = _new_name(settings, new.name)
    if _is_taken(session, name):
        raise Refused(f"{name} is already taken, by an account or an alias")
    row = AccountRow(
        name=name,
        role=new.role,
        condition=new.condition,
        password=new.password,
        initial=new.initial,
        identity=new.identity,
        second_mailbox=second_mailbox(settings, new.second_mailbox),
        created_at=tx.at,
        rev=rev,
    )
    session.add(row)
    session.flush()
    _set_aliases(session, settings, row, new.aliases)
    if new.password is not None:
        how: How = "initial" if new.initial else "reset"
        session.add(PasswordEventRow(account_id=row.id, at=tx.at, how=how))
    tx.record("account.add", name, {"role": row.role, "condition": row.condition})
    return row


def set_fields(
    store: Store,
    settings: Settings,
    name: str,
    *,
    fields: Mapping[str, object],
    aliases: Collection[str] | None = None,
    change: AuditContext,
    now: UnixSeconds | None = None,
) -> AccountView:
    """Change *fields* of an account and, when given, replace all its *aliases*.

    *fields* are named as in `AccountView`, besides ``identity``, which is a keyed hash.
    Raises `NotFound`, and `Refused` for an invalid value.
    """
    with transaction(store, change, now=now) as tx:
        session, rev = tx.session, tx.rev()  # no name is taken or freed from here on
        row = row_of(session, settings, name)
        changed: dict[str, object] = {}
        for field, value in fields.items():
            kept = _column_value(session, settings, row, field, value)
            if getattr(row, field) != kept:
                changed[field] = kept if field != "identity" else "on file"
                setattr(row, field, kept)
        if aliases is not None:
            changed["aliases"] = _set_aliases(session, settings, row, aliases)
        if changed:
            row.rev = rev
            tx.record("account.set", row.name, changed)
        session.flush()
        return view_of(session, row, tx.at)


def set_password(
    store: Store,
    settings: Settings,
    name: str,
    password: str,
    *,
    how: How,
    change: AuditContext,
    initial: bool = False,
    document: str | None = None,
    now: UnixSeconds | None = None,
) -> None:
    """Store the hash *password*, and *document*, the keyed hash of the identity number.

    *how* the password was set is recorded in the password events.
    """
    with transaction(store, change, now=now) as tx:
        rev = tx.rev()
        row = row_of(tx.session, settings, name)
        row.password, row.initial, row.rev = password, initial, rev
        row.identity = document or row.identity
        tx.session.add(PasswordEventRow(account_id=row.id, at=tx.at, how=how))
        tx.record("account.passwd", row.name, {"how": how})


def remove(
    store: Store,
    settings: Settings,
    name: str,
    *,
    change: AuditContext,
    now: UnixSeconds | None = None,
) -> str:
    """Remove an account and its aliases; its mailbox on disk is not touched."""
    with transaction(store, change, now=now) as tx:
        rev = tx.rev()
        row = row_of(tx.session, settings, name)
        removed = row.name
        _set_aliases(tx.session, settings, row, ())
        row.removed_at, row.password, row.identity = tx.at, None, None
        # Frees the name. The row stays, so that memory copies learn of the removal.
        row.name = f"{removed} {row.id}"
        row.rev = rev
        tx.record("account.remove", removed)
        return removed


def _new_name(settings: Settings, text: str) -> str:
    try:
        return account_name(text, settings.site)
    except ValueError as error:
        raise Refused(str(error)) from None


def _is_taken(session: Session, name: str) -> bool:
    held = select(func.count()).where(AccountRow.name == name)
    alias = select(func.count()).where(AliasRow.name == name)
    return bool(session.scalar(held)) or bool(session.scalar(alias))


def _set_aliases(
    session: Session, settings: Settings, row: AccountRow, aliases: Iterable[str]
) -> list[str]:
    wanted = {intended_name(alias, settings.site) for alias in aliases} - {row.name}
    if len(wanted) > MAX_ALIASES:
        raise Refused(f"an account has at most {MAX_ALIASES} aliases")
    held = {
        a.name: a for a in session.scalars(select(AliasRow).where(AliasRow.account_id == row.id))
    }
    for gone in held.keys() - wanted:
        session.delete(held[gone])
    session.flush()
    for alias in sorted(wanted - held.keys()):
        check_alias(alias)
        if _is_taken(session, alias):
            raise Refused(f"the alias {alias} is already taken")
        session.add(AliasRow(name=alias, account_id=row.id))
    session.flush()
    return sorted(wanted)


def _column_value(
    session: Session, settings: Settings, row: AccountRow, field: str, value: object
) -> object:
    """Return *value* as the column *field* stores it; raise `Refused`."""
    if field == "role":
        check_role(settings, str(value))
    elif field == "condition":
        check_condition(str(value))
    elif field == "name":
        name = _new_name(settings, str(value))
        if name != row.name and _is_taken(session, name):
            raise Refused(f"{name} is already taken, by an account or an alias")
        return name
    elif field == "second_mailbox":
        return second_mailbox(settings, None if value is None else str(value))
    elif field == "send" and value is not None:
        return send_limits(str(value)) if value else ""  # no limit
    return value
