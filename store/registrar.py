"""The registrar's files into the store: thousands of accounts at once.

First everything is read and judged without writing (`plan`); then hashed, on all
processors; then written in large batches (`carry_out`): in one transaction, or with
``keep_going`` in one for each `BATCH`. Every account has its audit row, as if it had
been made alone.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from config.settings import Settings
from store import identity, passwords
from store.accounts import (
    DEFAULT_CONDITION,
    MAX_ALIASES,
    check_alias,
    check_condition,
    check_role,
    second_mailbox,
)
from store.audit import Change, record
from store.engine import Store
from store.errors import Refused
from store.models import Account, Address, PasswordEvent
from store.names import account_name, canonical
from store.registrar_lines import Line, Refusal
from store.revision import advance

T = TypeVar("T")

# Bound parameters of one statement stay far below every database's limit.
BATCH = 500
# One batch of hashing: progress is shown, and a stop is noticed, this often.
HASHED_AT_ONCE = 64


@dataclass(slots=True)
class Plan:
    """What carrying out a file would do."""

    new: list[Line] = field(default_factory=list)
    changed: list[tuple[int, Line]] = field(default_factory=list)  # account id and what differs
    unchanged: int = 0
    refused: list[Refusal] = field(default_factory=list)

    @property
    def needs_key(self) -> bool:
        """Whether identity numbers have to be hashed (`identity.load_key`)."""
        return any(line.identity for line in self.new)


@dataclass(frozen=True, slots=True)
class Done:
    """What was written."""

    added: int
    changed: int


@dataclass(slots=True)
class _Names:
    """Every name that is taken: accounts by name, and all aliases."""

    accounts: dict[str, Account]
    aliases: set[str]

    def take(self, name: str) -> None:
        if name in self.accounts or name in self.aliases:
            raise Refused(f"{name} is taken already, by an account, an alias or a line above")
        self.aliases.add(name)


def plan(
    store: Store,
    settings: Settings,
    lines: Iterable[Line | Refusal],
    *,
    role: str | None = None,
    refresh: bool = False,
) -> Plan:
    """Judge *lines*; *role* is for those that name none. Nothing is written.

    With *refresh*, lines of accounts that exist bring role, condition and second
    mailbox up to date; without it they are refused. Passwords, identity numbers and
    aliases of existing accounts are never touched.
    """
    found = Plan()
    with store.reading() as session:
        rows = session.scalars(select(Account).where(Account.removed_at.is_(None))).all()
        names = _Names({row.name: row for row in rows}, set(session.scalars(select(Address.name))))
    for line in lines:
        if isinstance(line, Refusal):
            found.refused.append(line)
            continue
        try:
            _judge(found, settings, names, line, role=role, refresh=refresh)
        except (Refused, ValueError) as error:
            found.refused.append(Refusal(line.number, line.name, str(error)))
    return found


def carry_out(
    store: Store,
    todo: Plan,
    *,
    change: Change,
    key: bytes | None = None,
    keep_going: bool = False,
    progress: Callable[[int], None] = lambda _: None,
    now: int | None = None,
) -> Done:
    """Write *todo*; raise `Refused` when it refuses lines and not *keep_going*.

    *progress* is told how many more lines are prepared. Raises `StoreUnavailable`;
    without *keep_going* nothing of the file is in the store then.
    """
    if todo.refused and not keep_going:
        raise Refused(f"{len(todo.refused)} lines are refused, so nothing was changed")
    ready = list(_hashed(todo.new, key, progress))
    batches = (
        [(new, ()) for new in _cut(ready)] + [((), changed) for changed in _cut(todo.changed)]
        if keep_going
        else [(ready, todo.changed)]
    )
    for new, changed in batches:
        with store.changing() as session:
            at = store.now(session) if now is None else now
            rev = advance(session)
            for part in _cut(new):
                _insert(session, part, change=change, at=at, rev=rev)
            _update(session, changed, change=change, at=at, rev=rev)
    return Done(len(ready), len(todo.changed))


def _judge(
    found: Plan, settings: Settings, names: _Names, line: Line, *, role: str | None, refresh: bool
) -> None:
    name = account_name(line.name, settings.site.domains)
    if line.role:
        check_role(settings, line.role)
    if line.condition:
        check_condition(line.condition)
    existing = names.accounts.get(name)
    outside = second_mailbox(settings, line.second_mailbox)
    if existing is not None and refresh:
        fresh = replace(line, name=name, second_mailbox=outside)
        if _differs(existing, fresh):
            found.changed.append((existing.id, fresh))
        else:
            found.unchanged += 1
        return
    chosen = line.role or role
    if chosen is None:
        raise Refused("no role: neither in the line nor for the whole file")
    check_role(settings, chosen)
    if line.identity:
        identity.normalised(line.identity)
    aliases = tuple(_aliases(settings, line, name))
    for each in (name, *aliases):
        names.take(each)
    found.new.append(replace(line, name=name, role=chosen, second_mailbox=outside, aliases=aliases))


def _differs(account: Account, line: Line) -> bool:
    return any(getattr(account, column) != value for column, value in _columns(line).items())


def _columns(line: Line) -> dict[str, str]:
    """Return the columns that *line* has a word on."""
    said = {
        "role": line.role,
        "condition": line.condition,
        "second_mailbox": line.second_mailbox,
    }
    return {column: value for column, value in said.items() if value is not None}


def _aliases(settings: Settings, line: Line, name: str) -> Iterator[str]:
    if len(line.aliases) > MAX_ALIASES:
        raise Refused(f"an account has at most {MAX_ALIASES} aliases")
    for alias in dict.fromkeys(canonical(a, settings.site.domains) for a in line.aliases):
        if alias != name:
            check_alias(alias)
            yield alias


def _hashed(
    lines: Sequence[Line], key: bytes | None, progress: Callable[[int], None]
) -> Iterator[Line]:
    """Make the initial passwords of identity numbers; Argon2 runs outside Python's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in _cut(lines, HASHED_AT_ONCE):
            yield from pool.map(lambda line: _with_initial(line, key), part)
            progress(len(part))


def _with_initial(line: Line, key: bytes | None) -> Line:
    if not line.identity:
        return line
    if key is None:
        raise ValueError("identity numbers cannot be kept without the key")  # our bug
    first = passwords.hash_password(identity.normalised(line.identity))
    return replace(line, password=first, identity=identity.keyed_hash(line.identity, key))


def _insert(
    session: Session,
    lines: Sequence[Line],
    *,
    change: Change,
    at: int,
    rev: int,
) -> None:
    rows = [
        {
            "name": line.name,
            "role": line.role,
            "condition": line.condition or DEFAULT_CONDITION,
            "password": line.password,
            "initial": line.identity is not None,
            "identity": line.identity,
            "second_mailbox": line.second_mailbox,
            "created_at": at,
            "rev": rev,
        }
        for line in lines
    ]
    session.execute(insert(Account), rows)
    names = [line.name for line in lines]
    made = select(Account.name, Account.id).where(Account.name.in_(names))
    ids = {row.name: row.id for row in session.execute(made)}
    for line in lines:
        account = ids[line.name]
        session.add_all(Address(name=alias, account_id=account) for alias in line.aliases)
        if line.password is not None:
            how = "initial" if line.identity else "imported"
            session.add(PasswordEvent(account_id=account, at=at, how=how))
        detail: dict[str, object] = {"role": line.role, "line": line.number}
        record(session, change, at=at, action="account.import", subject=line.name, detail=detail)
    session.flush()
    session.expunge_all()  # 50,000 accounts need not stay in memory


def _update(
    session: Session,
    changed: Sequence[tuple[int, Line]],
    *,
    change: Change,
    at: int,
    rev: int,
) -> None:
    if not changed:
        return
    for account, line in changed:
        columns: dict[str, object] = dict(_columns(line))
        session.execute(
            update(Account).where(Account.id == account).values(**columns, rev=rev),
            execution_options={"synchronize_session": False},
        )
        record(session, change, at=at, action="account.import", subject=line.name, detail=columns)
    session.flush()


def _cut(items: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """Return *items* in parts of *size*."""
    return (items[start : start + size] for start in range(0, len(items), size))
