"""The registrar's lines as rows, hundreds in a statement.

Everything here happens in a transaction that has taken the store's revision: nobody
else takes a name until it ends, so what is found free or present stays so.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeVar, cast

from sqlalchemy import Table, Update, bindparam, insert, select, update
from sqlalchemy.orm import Session

from store.accounts import DEFAULT_CONDITION
from store.audit import Change, row
from store.models import Account, Address, Audit, Base, PasswordEvent
from store.registrar_lines import Line

T = TypeVar("T")

# Bound parameters of one statement stay far below every database's limit.
BATCH = 500
# One statement for all rows, whatever columns are empty in some.
_ALIKE = {"render_nulls": True}
ACTION = "account.import"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What all rows of one transaction have in common."""

    change: Change
    at: int
    rev: int


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a line changes of an account that is there."""

    account: int
    name: str
    columns: Mapping[str, str] = field(repr=False)


def cut(items: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """Return *items* in parts of *size*."""
    return (items[start : start + size] for start in range(0, len(items), size))


def taken(session: Session, names: Iterable[str]) -> set[str]:
    """Return which of *names* an account or an alias has."""
    found: set[str] = set()
    for part in cut(list(names)):
        found.update(session.scalars(select(Account.name).where(Account.name.in_(part))))
        found.update(session.scalars(select(Address.name).where(Address.name.in_(part))))
    return found


def add(session: Session, lines: Sequence[Line], stamp: Stamp) -> None:
    """Make the accounts of *lines*, whose names are free."""
    _insert(session, Account, [_account(line, stamp) for line in lines])
    made = select(Account.name, Account.id).where(Account.name.in_([line.name for line in lines]))
    ids = {each.name: each.id for each in session.execute(made)}
    aliases: list[dict[str, object]] = [
        {"name": alias, "account_id": ids[line.name]} for line in lines for alias in line.aliases
    ]
    _insert(session, Address, aliases)
    events: list[dict[str, object]] = [
        {
            "account_id": ids[line.name],
            "at": stamp.at,
            "how": "initial" if line.identity else "imported",
        }
        for line in lines
        if line.password is not None
    ]
    _insert(session, PasswordEvent, events)
    told = [(line.name, {"role": line.role, "line": line.number}) for line in lines]
    _insert(session, Audit, [_audited(name, detail, stamp) for name, detail in told])


def renew(session: Session, changed: Sequence[Renewal], stamp: Stamp) -> int:
    """Write *changed*; return how many of the accounts are still there."""
    present = select(Account.id).where(
        Account.id.in_([each.account for each in changed]), Account.removed_at.is_(None)
    )
    held = set(session.scalars(present))
    todo = [each for each in changed if each.account in held]
    for names, group in groupby(sorted(todo, key=_names), key=_names):
        rows = [{**each.columns, "account": each.account, "rev": stamp.rev} for each in group]
        session.connection().execute(_update((*names, "rev")), rows)
    _insert(session, Audit, [_audited(each.name, _told(each.columns), stamp) for each in todo])
    return len(todo)


def said(line: Line) -> Iterator[tuple[str, str]]:
    """Yield what *line* has a word on of an account that is there: column and value."""
    for column, value in (
        ("role", line.role),
        ("condition", line.condition),
        ("second_mailbox", line.second_mailbox),
        ("identity", line.identity),
    ):
        if value is not None:
            yield column, value


def _names(each: Renewal) -> list[str]:
    return sorted(each.columns)


def _told(values: Mapping[str, str]) -> Mapping[str, str]:
    """Return *values* for the audit: that there is an identity now, not its hash."""
    return {**values, "identity": "on file"} if "identity" in values else values


def _update(names: Sequence[str]) -> Update:
    table = cast("Table", Account.__table__)
    return (
        update(table)
        .where(table.c.id == bindparam("account"))
        .values({name: bindparam(name) for name in names})
    )


def _audited(name: str, detail: Mapping[str, object], stamp: Stamp) -> dict[str, object]:
    return row(stamp.change, at=stamp.at, action=ACTION, subject=name, detail=detail)


def _account(line: Line, stamp: Stamp) -> dict[str, object]:
    return {
        "name": line.name,
        "role": line.role,
        "condition": line.condition or DEFAULT_CONDITION,
        "password": line.password,
        "initial": line.identity is not None,
        "identity": line.identity,
        "second_mailbox": line.second_mailbox,
        "created_at": stamp.at,
        "rev": stamp.rev,
    }


def _insert(session: Session, table: type[Base], rows: list[dict[str, object]]) -> None:
    if rows:
        session.execute(insert(table), rows, execution_options=_ALIKE)
