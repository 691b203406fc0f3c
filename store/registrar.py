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
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.settings import Settings
from store import graduation, identity, mailboxes, passwords, registrar_rows
from store.accounts import MAX_ALIASES, check_alias, check_condition, check_role, second_mailbox
from store.audit import Change
from store.bulk import cut
from store.engine import Store
from store.errors import Refused
from store.graduation import GRACE_SECONDS, Graduate, Usage
from store.models import Account, Address
from store.names import account_name, named
from store.registrar_lines import Line, Refusal, Skipped
from store.registrar_rows import Renewal, Stamp, said
from store.revision import advance

# One batch of hashing: progress is shown, and a stop is noticed, this often.
HASHED_AT_ONCE = 64
NAMED = 5  # refusals that an error names; thousands would be no line

Progress = Callable[[int], None]


@dataclass(slots=True)
class Plan:
    """What carrying out a file would do, under *settings*."""

    settings: Settings = field(repr=False)
    new: list[Line] = field(default_factory=list)
    changed: list[Renewal] = field(default_factory=list)
    graduates: list[Graduate] = field(default_factory=list)  # their new role has less room
    unchanged: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    @property
    def needs_key(self) -> bool:
        """Whether identity numbers have to be hashed (`identity.load_key`)."""
        return any(line.identity for line in self.new) or any(
            "identity" in each.columns for each in self.changed
        )

    @property
    def steps(self) -> int:
        """Return how many of `carry_out`'s steps there are."""
        hashed = sum(line.identity is not None for line in self.new)
        return hashed + len(self.new) + len(self.changed) + len(self.graduates)


@dataclass(slots=True)
class Done:
    """What was written, and what was refused meanwhile (with *keep_going*)."""

    added: int = 0
    changed: int = 0
    graduated: int = 0
    refused: list[Refusal] = field(default_factory=list)


def plan(
    store: Store,
    settings: Settings,
    lines: Iterable[Line | Refusal | Skipped],
    *,
    role: str | None = None,
    refresh: bool = False,
    used: Usage | None = None,
    now: int | None = None,
) -> Plan:
    """Judge *lines*; *role* is for those that name none. Nothing is written.

    With *refresh*, lines of accounts that exist bring role, condition and second mailbox
    up to date and fill in a missing identity number; without it they are refused. Who
    gets a role with a smaller mailbox graduates, with the default grace. Passwords,
    known identity numbers and aliases of existing accounts are never touched.
    """
    with store.reading() as session:
        at = store.now(session) if now is None else now
        rows = session.scalars(select(Account).where(Account.removed_at.is_(None))).all()
        names = _Names({row.name: row for row in rows}, set(session.scalars(select(Address.name))))
    measure = used or partial(mailboxes.used, settings)
    found = Plan(settings)
    judge = _Judge(found, names, role=role, refresh=refresh, used=measure, at=at)
    for line in lines:
        match line:
            case Refusal():
                found.refused.append(line)
            case Skipped():
                found.skipped.append(line)
            case _:
                judge(line)
    return found


def carry_out(
    store: Store,
    todo: Plan,
    *,
    change: Change,
    key: bytes | None = None,
    keep_going: bool = False,
    progress: Progress = lambda _: None,
    now: int | None = None,
) -> Done:
    """Write *todo*; raise `Refused` when it refuses lines and not *keep_going*.

    *progress* is told of `Plan.steps` done. Raises `StoreUnavailable`; without
    *keep_going* nothing of the file is in the store then.
    """
    if todo.refused and not keep_going:
        raise Refused(f"{len(todo.refused)} lines are refused, so nothing was changed")
    new = list(_hashed(todo.new, key, progress))
    changed = [_renewal_hashed(each, key) for each in todo.changed]
    done = Done()
    for batch in _batches(_Batch(new, changed, todo.graduates), apart=keep_going):
        with store.changing() as session:
            at = store.now(session) if now is None else now
            stamp = Stamp(change, at, advance(session))
            _write(session, todo.settings, batch, stamp, done, progress)
            if done.refused and not keep_going:
                raise Refused(_taken_since(done.refused))
    return done


@dataclass(slots=True)
class _Names:
    """Every name that is taken: accounts by name, and all aliases."""

    accounts: dict[str, Account]
    aliases: set[str]

    def take(self, name: str) -> None:
        if name in self.accounts or name in self.aliases:
            raise Refused(f"{name} is taken already, by an account, an alias or a line above")
        self.aliases.add(name)


@dataclass(slots=True)
class _Judge:
    """Sorts lines into a plan."""

    found: Plan
    names: _Names
    role: str | None
    refresh: bool
    used: Usage
    at: int

    def __call__(self, line: Line) -> None:
        try:
            self._sort(line)
        except (Refused, ValueError) as error:
            self.found.refused.append(Refusal(line.number, line.name, str(error)))

    def _sort(self, line: Line) -> None:
        settings = self.found.settings
        name = account_name(line.name, settings.site)
        if line.role:
            check_role(settings, line.role)
        if line.condition:
            check_condition(line.condition)
        if line.identity:
            identity.normalised(line.identity)
        outside = second_mailbox(settings, line.second_mailbox)
        line = replace(line, name=name, second_mailbox=outside)
        existing = self.names.accounts.get(name)
        if existing is not None and self.refresh:
            self._known(existing, line)
        else:
            self._new(line)

    def _known(self, account: Account, line: Line) -> None:
        settings = self.found.settings
        fresh = {name: value for name, value in said(line) if getattr(account, name) != value}
        if account.identity is not None:
            fresh.pop("identity", None)
        if not fresh:
            self.found.unchanged += 1
            return
        role = fresh.get("role")
        if role is not None and graduation.shrinks(settings, account, role):
            self.found.graduates.append(self._graduate(account, fresh.pop("role")))
        if fresh:
            self.found.changed.append(Renewal(account.id, line.name, fresh))

    def _graduate(self, account: Account, role: str) -> Graduate:
        return graduation.graduate_of(
            self.found.settings,
            account,
            role,
            used=self.used(account.name),
            grace=GRACE_SECONDS,
            now=self.at,
        )

    def _new(self, line: Line) -> None:
        settings = self.found.settings
        role = line.role or self.role
        if role is None:
            raise Refused("no role: neither in the line nor for the whole file")
        check_role(settings, role)
        aliases = tuple(_aliases(settings, line))
        for each in (line.name, *aliases):
            self.names.take(each)
        self.found.new.append(replace(line, role=role, aliases=aliases))


def _aliases(settings: Settings, line: Line) -> Iterator[str]:
    if len(line.aliases) > MAX_ALIASES:
        raise Refused(f"an account has at most {MAX_ALIASES} aliases")
    for alias in dict.fromkeys(named(a, settings.site) for a in line.aliases):
        if alias != line.name:
            check_alias(alias)
            yield alias


def _hashed(lines: Sequence[Line], key: bytes | None, progress: Progress) -> Iterator[Line]:
    """Make the initial passwords of identity numbers; Argon2 runs outside Python's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in cut(lines, HASHED_AT_ONCE):
            numbers = [line for line in part if line.identity]
            made = pool.map(lambda line: _with_initial(line, key), numbers)
            yield from (next(made) if line.identity else line for line in part)
            progress(len(numbers))


def _with_initial(line: Line, key: bytes | None) -> Line:
    number = identity.normalised(line.identity or "")
    first = passwords.hash_password(number)
    return replace(line, password=first, identity=_document(number, key))


def _renewal_hashed(each: Renewal, key: bytes | None) -> Renewal:
    if "identity" not in each.columns:
        return each
    document = _document(each.columns["identity"], key)
    return replace(each, columns={**each.columns, "identity": document})


def _document(number: str, key: bytes | None) -> str:
    if key is None:
        raise ValueError("identity numbers cannot be kept without the key")  # our bug
    return identity.keyed_hash(number, key)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one transaction writes."""

    new: Sequence[Line] = ()
    changed: Sequence[Renewal] = ()
    graduates: Sequence[Graduate] = ()


def _batches(all_: _Batch, *, apart: bool) -> Iterator[_Batch]:
    """Return one batch of all, or each `BATCH` of a kind *apart*."""
    if not apart:
        yield all_
        return
    yield from (_Batch(new=part) for part in cut(all_.new))
    yield from (_Batch(changed=part) for part in cut(all_.changed))
    yield from (_Batch(graduates=part) for part in cut(all_.graduates))


def _write(
    session: Session,
    settings: Settings,
    batch: _Batch,
    stamp: Stamp,
    done: Done,
    progress: Progress,
) -> None:
    for new in cut(batch.new):
        free, refused = _still_free(session, new)
        registrar_rows.add(session, free, stamp)
        done.added += len(free)
        done.refused += refused
        progress(len(new))
    for changed in cut(batch.changed):
        done.changed += registrar_rows.renew(session, changed, stamp)
        progress(len(changed))
    for leaving in cut(batch.graduates):
        done.graduated += graduation.apply(
            session, settings, leaving, change=stamp.change, at=stamp.at, rev=stamp.rev
        )
        progress(len(leaving))


def _still_free(session: Session, lines: Sequence[Line]) -> tuple[list[Line], list[Refusal]]:
    """Return the lines whose names nobody took since the plan, and those refused for it."""
    names = [name for line in lines for name in (line.name, *line.aliases)]
    gone = registrar_rows.taken(session, names)
    free, refused = [], []
    for line in lines:
        hit = next((name for name in (line.name, *line.aliases) if name in gone), None)
        if hit is None:
            free.append(line)
        else:
            refused.append(Refusal(line.number, line.name, f"{hit} was taken meanwhile"))
    return free, refused


def _taken_since(refused: Sequence[Refusal]) -> str:
    shown = "; ".join(f"line {each.number}: {each.reason}" for each in refused[:NAMED])
    more = f" and {len(refused) - NAMED} more" if len(refused) > NAMED else ""
    return f"nothing was changed: {shown}{more}"
