"""Accounts: made, found, changed. Every change is one transaction with its audit row.

Names come in as people write them and are made canonical here (`store.names`);
an alias finds its account. Passwords come in as hashes in Dovecot's notation:
this file never sees a password.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from config.settings import Settings
from config.units import Rate, one_of_each_window
from store.audit import Change, record
from store.engine import Store
from store.errors import NotFound, Refused
from store.models import Account, Address, PasswordEvent, Suspension
from store.names import MAX_ADDRESS, account_name, check_name, is_local, named, whole
from store.revision import advance

Owned = TypeVar("Owned", Address, Suspension)
How = Literal["initial", "reset", "changed", "upgraded"]
DEFAULT_CONDITION = "normal"
MAX_CONDITION = 32  # the column's width
MAX_SIZE = 2**63 - 1  # the column's
MAX_ALIASES = 50  # of one account: every one is kept in the memory of every service


@dataclass(frozen=True, slots=True)
class Stop:
    """A suspension in force."""

    scope: str
    reason: str
    created_at: int
    until: int | None


@dataclass(frozen=True, slots=True)
class View:
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
    suspended: tuple[Stop, ...]
    created_at: int


@dataclass(frozen=True, slots=True)
class New:
    """What an account is made of. *password* is a hash, *identity* a keyed hash."""

    name: str
    role: str
    condition: str = DEFAULT_CONDITION
    password: str | None = None
    initial: bool = False
    identity: str | None = None
    second_mailbox: str | None = None
    aliases: tuple[str, ...] = ()


def add(
    store: Store, settings: Settings, new: New, *, change: Change, now: int | None = None
) -> View:
    """Make an account; raise `Refused` when the name or an alias is taken."""
    with store.changing() as session:
        at = store.now(session) if now is None else now
        row = add_in(session, settings, new, change=change, at=at, rev=advance(session))
        return _view(session, row, at)


def add_in(
    session: Session, settings: Settings, new: New, *, change: Change, at: int, rev: int
) -> Account:
    """Make an account inside a transaction (imports make many in one)."""
    check_role(settings, new.role)
    check_condition(new.condition)
    name = _new_name(settings, new.name)
    if _is_taken(session, name):
        raise Refused(f"{name} is taken already, by an account or an alias")
    row = Account(
        name=name,
        role=new.role,
        condition=new.condition,
        password=new.password,
        initial=new.initial,
        identity=new.identity,
        second_mailbox=second_mailbox(settings, new.second_mailbox),
        created_at=at,
        rev=rev,
    )
    session.add(row)
    session.flush()
    _set_aliases(session, settings, row, new.aliases)
    if new.password is not None:
        how: How = "initial" if new.initial else "reset"
        session.add(PasswordEvent(account_id=row.id, at=at, how=how))
    detail: dict[str, object] = {"role": row.role, "condition": row.condition}
    record(session, change, at=at, action="account.add", subject=name, detail=detail)
    return row


def get(store: Store, settings: Settings, name: str, *, now: int | None = None) -> View:
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
) -> list[View]:
    """Return accounts by name, narrowed to a role, a condition, or names containing *search*."""
    query = select(Account).where(Account.removed_at.is_(None)).order_by(Account.name)
    if role is not None:
        query = query.where(Account.role == role)
    if condition is not None:
        query = query.where(Account.condition == condition)
    if search is not None:
        query = query.where(Account.name.contains(search.casefold(), autoescape=True))
    with store.reading() as session:
        at = store.now(session) if now is None else now
        rows = session.scalars(query).all()
        # Two queries for all, not two for each.
        aliases = _by_account(session.scalars(select(Address)).all())
        stops = _by_account(session.scalars(_in_force(at)).all())
        return [_shown(row, aliases.get(row.id, []), stops.get(row.id, [])) for row in rows]


def set_fields(
    store: Store,
    settings: Settings,
    name: str,
    *,
    fields: Mapping[str, object],
    aliases: Collection[str] | None = None,
    change: Change,
    now: int | None = None,
) -> View:
    """Change columns of an account (`View`'s names, and ``identity``: a keyed hash) and, when
    given, all its aliases.

    Raises `NotFound`, and `Refused` for a value that cannot be.
    """
    with store.changing() as session:
        at = store.now(session) if now is None else now
        rev = advance(session)  # first: what is free or held then stays so (`store.revision`)
        row = row_of(session, settings, name)
        changed: dict[str, object] = {}
        for field, value in fields.items():
            kept = _checked(session, settings, row, field, value)
            if getattr(row, field) != kept:
                changed[field] = kept if field != "identity" else "on file"
                setattr(row, field, kept)
        if aliases is not None:
            changed["aliases"] = _set_aliases(session, settings, row, aliases)
        if changed:
            row.rev = rev
            record(session, change, at=at, action="account.set", subject=row.name, detail=changed)
        session.flush()
        return _view(session, row, at)


def set_password(
    store: Store,
    settings: Settings,
    name: str,
    password: str,
    *,
    how: How,
    change: Change,
    initial: bool = False,
    document: str | None = None,
    now: int | None = None,
) -> None:
    """Keep the hash *password*, and *document*, the keyed hash of the identity behind it.

    *how* it came goes to the password events.
    """
    with store.changing() as session:
        at = store.now(session) if now is None else now
        rev = advance(session)
        row = row_of(session, settings, name)
        row.password, row.initial, row.rev = password, initial, rev
        row.identity = document or row.identity
        session.add(PasswordEvent(account_id=row.id, at=at, how=how))
        record(
            session, change, at=at, action="account.passwd", subject=row.name, detail={"how": how}
        )


def remove(
    store: Store, settings: Settings, name: str, *, change: Change, now: int | None = None
) -> str:
    """Remove an account and its aliases; its mailbox on disk is not touched."""
    with store.changing() as session:
        at = store.now(session) if now is None else now
        rev = advance(session)
        row = row_of(session, settings, name)
        removed = row.name
        _set_aliases(session, settings, row, ())
        row.removed_at, row.password, row.identity = at, None, None
        # The name is free again; the row stays so that memory copies learn of it.
        row.name = f"{removed} {row.id}"
        row.rev = rev
        record(session, change, at=at, action="account.remove", subject=removed)
        return removed


def row_of(session: Session, settings: Settings, name: str) -> Account:
    """Return the row of *name* or of the alias *name*; raise `NotFound`."""
    wanted = named(name, settings.site)
    if not wanted.isprintable():  # bytes that are no text, which no database takes
        raise NotFound(f"no account {name!r}")
    # Two questions, each answered by an index: joined by OR, PostgreSQL and MariaDB read
    # the whole table at every login.
    held = select(Account).where(Account.removed_at.is_(None))
    row = session.scalar(held.where(Account.name == wanted))
    if row is None:
        row = session.scalar(held.join(Address).where(Address.name == wanted))
    if row is None:
        raise NotFound(f"no account {name!r}")
    return row


def check_role(settings: Settings, role: str) -> None:
    """Raise `Refused` for a role that the settings do not know."""
    if role not in settings.roles:
        raise Refused(f"no role {role!r} in the settings; there are {', '.join(settings.roles)}")


def check_condition(condition: str) -> None:
    """Raise `Refused` for a word that the column cannot hold."""
    if not 0 < len(condition) <= MAX_CONDITION or not condition.isprintable():
        raise Refused(f"the condition {condition!r} is not a word of 1 to {MAX_CONDITION} letters")


def check_alias(alias: str) -> None:
    """Raise `Refused` for a name, as `store.names` gives it, that cannot be an alias."""
    if is_local(alias):
        try:
            check_name(alias)
        except ValueError as error:
            raise Refused(str(error)) from None
    elif len(alias) > MAX_ADDRESS or not alias.isprintable():
        raise Refused(f"the alias {alias!r} is not a mail address")


def _new_name(settings: Settings, text: str) -> str:
    try:
        return account_name(text, settings.site)
    except ValueError as error:
        raise Refused(str(error)) from None


def _is_taken(session: Session, name: str) -> bool:
    held = select(func.count()).where(Account.name == name)
    alias = select(func.count()).where(Address.name == name)
    return bool(session.scalar(held)) or bool(session.scalar(alias))


def second_mailbox(settings: Settings, address: str | None) -> str | None:
    """Return *address* as it is kept; raise `Refused` for one of ours and for nonsense."""
    if not address:
        return None
    text = address.strip()
    local, _, domain = text.rpartition("@")
    if not local or "." not in domain or len(text) > MAX_ADDRESS or not text.isprintable():
        raise Refused(f"{address!r} is not a mail address")
    if is_local(whole(text, settings.site)):
        raise Refused(f"{address!r} is one of our own mailboxes; a second mailbox is elsewhere")
    return text


def _set_aliases(
    session: Session, settings: Settings, row: Account, aliases: Iterable[str]
) -> list[str]:
    wanted = {named(alias, settings.site) for alias in aliases} - {row.name}
    if len(wanted) > MAX_ALIASES:
        raise Refused(f"an account has at most {MAX_ALIASES} aliases")
    held = {a.name: a for a in session.scalars(select(Address).where(Address.account_id == row.id))}
    for gone in held.keys() - wanted:
        session.delete(held[gone])
    session.flush()
    for alias in sorted(wanted - held.keys()):
        check_alias(alias)
        if _is_taken(session, alias):
            raise Refused(f"the alias {alias} is taken already")
        session.add(Address(name=alias, account_id=row.id))
    session.flush()
    return sorted(wanted)


def _checked(
    session: Session, settings: Settings, row: Account, field: str, value: object
) -> object:
    """Return *value* as the column *field* keeps it; raise `Refused`."""
    if field == "role":
        check_role(settings, str(value))
    elif field == "condition":
        check_condition(str(value))
    elif field == "name":
        name = _new_name(settings, str(value))
        if name != row.name and _is_taken(session, name):
            raise Refused(f"{name} is taken already, by an account or an alias")
        return name
    elif field == "second_mailbox":
        return second_mailbox(settings, None if value is None else str(value))
    elif field == "send" and value is not None:
        return send_limits(str(value)) if value else ""  # no limit
    return value


def check_size(size: int) -> int:
    """Return *size*; raise `Refused` for one that the column cannot hold."""
    if size > MAX_SIZE:
        raise Refused(f"{size} bytes are more than any disk holds")
    return size


def send_limits(text: str) -> str:
    """Return the rates of *text* as they are kept; raise `Refused`."""
    if not text.strip():
        raise Refused('no rates; where there is to be no limit, say "unlimited"')
    try:
        rates = one_of_each_window(tuple(Rate.parse(part) for part in text.split()))
    except ValueError as error:
        raise Refused(str(error)) from None
    return " ".join(str(rate) for rate in rates)


def _in_force(now: int) -> Select[Suspension]:
    return select(Suspension).where(
        Suspension.ended_at.is_(None), or_(Suspension.until.is_(None), Suspension.until > now)
    )


def _view(session: Session, row: Account, now: int) -> View:
    aliases = session.scalars(select(Address).where(Address.account_id == row.id)).all()
    stops = session.scalars(_in_force(now).where(Suspension.account_id == row.id)).all()
    return _shown(row, aliases, stops)


def _by_account(rows: Iterable[Owned]) -> dict[int, list[Owned]]:
    grouped: dict[int, list[Owned]] = {}
    for row in rows:
        grouped.setdefault(row.account_id, []).append(row)
    return grouped


def _shown(row: Account, aliases: Sequence[Address], stops: Sequence[Suspension]) -> View:
    return View(
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
        suspended=tuple(Stop(s.scope, s.reason, s.created_at, s.until) for s in stops),
        created_at=row.created_at,
    )
