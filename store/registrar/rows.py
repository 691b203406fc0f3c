"""Write the registrar's lines as rows, hundreds in a statement.

Everything here runs in a transaction that has taken the store's revision: no other process can
take or free a name until it ends.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import bulk
from store.audit import Transaction
from store.models import AccountRow, AliasRow, PasswordEventRow, SuspensionRow
from store.people.accounts import DEFAULT_CONDITION
from store.registrar.columns import OVERRIDES
from store.registrar.lines import Line

ACTION = "account.import"


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a line changes on an existing account."""

    account: int
    name: str
    columns: Mapping[str, str] = field(repr=False)


def names_taken(session: Session, names: Iterable[str]) -> set[str]:
    """Return those of *names* that an account or an alias has."""
    found: set[str] = set()
    for part in bulk.batches(list(names)):
        found.update(session.scalars(select(AccountRow.name).where(AccountRow.name.in_(part))))
        found.update(session.scalars(select(AliasRow.name).where(AliasRow.name.in_(part))))
    return found


def add(tx: Transaction, lines: Sequence[Line]) -> None:
    """Create the accounts of *lines*, whose names are free."""
    session = tx.session
    bulk.add(session, AccountRow, [_account(line, tx) for line in lines])
    made = select(AccountRow.name, AccountRow.id).where(
        AccountRow.name.in_([line.name for line in lines])
    )
    ids = {each.name: each.id for each in session.execute(made)}
    held = [(ids[line.name], line) for line in lines]
    for table, rows_of in (
        (AliasRow, _aliases),
        (SuspensionRow, _stops),
        (PasswordEventRow, _events),
    ):
        bulk.add(session, table, [row for each in held for row in rows_of(*each, tx)])
    tx.record_all(ACTION, ((line.name, _audit_detail(line)) for line in lines))


def renew(tx: Transaction, changed: Sequence[Renewal]) -> int:
    """Write *changed*; return how many of the accounts still exist."""
    present = select(AccountRow.id).where(
        AccountRow.id.in_([each.account for each in changed]), AccountRow.removed_at.is_(None)
    )
    held = set(tx.session.scalars(present))
    todo = [each for each in changed if each.account in held]
    rows = {each.account: {**each.columns, "rev": tx.rev()} for each in todo}
    bulk.change(tx.session, AccountRow, rows)
    tx.record_all(ACTION, ((each.name, _redacted(each.columns)) for each in todo))
    return len(todo)


def fields_given(line: Line) -> Iterator[tuple[str, str]]:
    """Yield (column, value) for each field that *line* sets on an existing account."""
    for column, value in (
        ("role", line.role),
        ("condition", line.condition),
        ("second_mailbox", line.second_mailbox),
        ("identity", line.identity),
    ):
        if value is not None:
            yield column, value


def _redacted(values: Mapping[str, str]) -> Mapping[str, str]:
    """Return *values* for the audit log, with the identity's hash left out."""
    return {**values, "identity": "on file"} if "identity" in values else values


def _account(line: Line, tx: Transaction) -> dict[str, object]:
    overrides = dict.fromkeys(column for name in OVERRIDES for column in (name, f"{name}_until"))
    return {
        "name": line.name,
        "role": line.role,
        "condition": line.condition or DEFAULT_CONDITION,
        "password": line.password,
        "initial": _is_initial(line),
        "identity": line.identity,
        "second_mailbox": line.second_mailbox,
        **overrides,
        **line.extras.overrides,
        "created_at": tx.at,
        "rev": tx.rev(),
    }


def _is_initial(line: Line) -> bool:
    return line.password is not None and (line.identity is not None or line.extras.initial)


def _aliases(account: int, line: Line, _: Transaction) -> bulk.Rows:
    return [{"name": alias, "account_id": account} for alias in line.aliases]


def _stops(account: int, line: Line, tx: Transaction) -> bulk.Rows:
    return [
        {
            "account_id": account,
            "scope": stop.scope,
            "reason": stop.reason,
            "created_at": tx.at,
            "until": stop.until,
        }
        for stop in line.extras.suspended
    ]


def _events(account: int, line: Line, tx: Transaction) -> bulk.Rows:
    if line.password is None:
        return []
    how = "initial" if _is_initial(line) else "imported"
    return [{"account_id": account, "at": tx.at, "how": how}]


def _audit_detail(line: Line) -> dict[str, object]:
    """Return the audit detail of a new account, which never holds a secret."""
    detail: dict[str, object] = {"role": line.role, "line": line.number, **line.extras.overrides}
    stops = [stop.scope for stop in line.extras.suspended]
    return {**detail, "suspended": stops} if stops else detail
