"""Graduates become alumni: role, quota and limits in one step, one or a whole cohort (R7).

Who holds more than the new quota keeps the old one until a date (a mailbox override
with an end): after it no new mail is taken, and nothing stored is ever deleted. What
an account was before is kept, so a graduation can be undone. Overrides of sending and
attachments stay: somebody gave them to this person, for good or until their date; one
of the mailbox ends, and an undo brings it back. Each gets a notice (`store.notices`).
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from config.settings import Settings
from config.units import format_size
from store import audit, bulk, notices
from store.accounts import View, check_role, row_of
from store.audit import Change, record
from store.directory import effective, generous
from store.engine import Store
from store.errors import NotFound, Refused
from store.models import Account, Audit, Graduation, Notice
from store.names import named
from store.revision import advance

STUDENT = "student"
ROLE = "alumni"
GRACE_SECONDS = 90 * 86400  # a summer to tidy up in

ACTION = "account.graduate"
T = TypeVar("T")
Usage = Callable[[str], int | None]  # bytes in the mailbox of a name; None: cannot be told


@dataclass(frozen=True, slots=True)
class Graduate:
    """One account, and what graduating means for it."""

    account: int
    name: str
    role: str  # before
    to: str
    old_quota: int
    new_quota: int
    used: int | None
    keeps_until: int | None  # the old quota stays until then
    own: int | None = None  # a mailbox size of its own, which ends; an undo brings it back

    @property
    def is_over(self) -> bool:
        """Whether the mailbox holds more than the new quota (0 is unlimited)."""
        return bool(self.new_quota) and (self.used or 0) > self.new_quota


@dataclass(frozen=True, slots=True)
class Plan:
    """What graduating would do."""

    graduates: tuple[Graduate, ...]
    already: tuple[str, ...]  # alumni before
    refused: tuple[tuple[str, str], ...]  # name and reason

    @property
    def over(self) -> tuple[Graduate, ...]:
        """Return who holds more than the new quota."""
        return tuple(each for each in self.graduates if each.is_over)

    @property
    def unmeasured(self) -> tuple[Graduate, ...]:
        """Return whose mail could not be measured; they have the grace as well."""
        return tuple(each for each in self.graduates if each.used is None)


def cohort(store: Store, prefix: str, *, role: str = STUDENT) -> list[str]:
    """Return the names of *role* that start with *prefix*: student numbers of one year."""
    if not prefix.strip():
        raise Refused("a cohort without a prefix would be everybody")
    query = (
        select(Account.name)
        .where(Account.removed_at.is_(None), Account.role == role)
        .where(Account.name.startswith(prefix.casefold(), autoescape=True))
        .order_by(Account.name)
    )
    with store.reading() as session:
        return list(session.scalars(query))


def plan(
    store: Store,
    settings: Settings,
    names: Iterable[str],
    *,
    used: Usage,
    grace: int = GRACE_SECONDS,
    role: str = ROLE,
    now: int | None = None,
) -> Plan:
    """Find out what graduating *names* means; nothing is written. Raises `Refused`."""
    check_role(settings, role)
    found: dict[int, Account] = {}
    refused = []
    wanted = list(dict.fromkeys(names))
    with store.reading() as session:
        at = store.now(session) if now is None else now
        known = _by_name(session, settings, wanted)
        for name in wanted:
            try:
                row = known.get(name) or row_of(session, settings, name)  # an alias
                found[row.id] = row
            except NotFound as error:
                refused.append((name, str(error)))
    already = tuple(row.name for row in found.values() if row.role == role)
    # Without a session: to measure a cohort takes minutes, and no transaction should.
    graduates = tuple(
        graduate_of(settings, row, role, used=used(row.name), grace=grace, now=at)
        for row in found.values()
        if row.role != role
    )
    return Plan(graduates, already, tuple(refused))


def carry_out(
    store: Store,
    settings: Settings,
    todo: Plan,
    *,
    change: Change,
    now: int | None = None,
) -> int:
    """Graduate everybody of *todo* in one transaction; return how many."""
    with store.changing() as session:
        at = store.now(session) if now is None else now
        rev = advance(session)
        parts = bulk.cut(todo.graduates)
        return sum(apply(session, settings, p, change=change, at=at, rev=rev) for p in parts)


def apply(
    session: Session,
    settings: Settings,
    graduates: Sequence[Graduate],
    *,
    change: Change,
    at: int,
    rev: int,
) -> int:
    """Graduate inside a transaction that has taken *rev*; return how many.

    An account that changed its role since the plan is left as it is.
    """
    wanted = {each.account: each for each in graduates}
    query = select(Account.id, Account.name, Account.role, Account.mailbox, Account.mailbox_until)
    held = session.execute(query.where(Account.id.in_(wanted), Account.removed_at.is_(None)))
    going = [(row, wanted[row.id]) for row in held if row.role == wanted[row.id].role]
    before = [
        {
            "account_id": row.id,
            "at": at,
            "role": row.role,
            "mailbox": row.mailbox,
            "mailbox_until": row.mailbox_until,
        }
        for row, _ in going
    ]
    bulk.add(session, Graduation, before)
    bulk.change(session, Account, {row.id: _columns(each, rev) for row, each in going})
    bulk.add(session, Notice, [_notice(settings, row.name, each, at) for row, each in going])
    bulk.add(
        session,
        Audit,
        [
            audit.row(change, at=at, action=ACTION, subject=row.name, detail=_detail(each))
            for row, each in going
        ],
    )
    return len(going)


def shrinks(settings: Settings, account: Account | View, role: str) -> bool:
    """Return whether *role* would make a mailbox smaller at once: then graduate instead."""
    if account.mailbox is not None and account.mailbox_until is None:
        return False  # a size of its own, for good, goes with no role
    before = (settings.roles.get(account.role) or generous(settings)).mailbox
    after = settings.roles[role].mailbox
    return bool(after) and (not before or after < before)


def undo(
    store: Store,
    settings: Settings,
    names: Iterable[str],
    *,
    change: Change,
    now: int | None = None,
) -> list[str]:
    """Give *names* back the role and quota from before they graduated; return their names.

    All or nothing; raises `Refused` for one that never graduated, or got another role since.
    """
    with store.changing() as session:
        at = store.now(session) if now is None else now
        rev = advance(session)
        rows = {row.id: row for row in (row_of(session, settings, name) for name in names)}
        for row in rows.values():
            last = _last(session, row)
            check_role(settings, last.role)
            row.role, row.mailbox, row.mailbox_until = last.role, last.mailbox, last.mailbox_until
            row.rev, last.undone_at = rev, at
            # A notice that was not sent yet would now be wrong.
            notices.withdraw(session, _dedupe(row.id, last.at))
            record(session, change, at=at, action="account.ungraduate", subject=row.name)
        return [row.name for row in rows.values()]


def _last(session: Session, row: Account) -> Graduation:
    """Return the graduation that made *row* what it is; raise `Refused` where none did."""
    last = session.scalar(
        select(Graduation)
        .where(Graduation.account_id == row.id, Graduation.undone_at.is_(None))
        .order_by(Graduation.id.desc())
        .limit(1)
    )
    if last is None:
        raise Refused(f"{row.name} has not graduated, so there is nothing to undo")
    became = _became(session, row, last)
    if row.role != became:
        raise Refused(f"{row.name} is {row.role} since, not {became}: set the role instead")
    return last


def _became(session: Session, row: Account, last: Graduation) -> str:
    """Return the role that *last* gave; its audit row says it."""
    query = select(Audit.detail).where(
        Audit.action == ACTION, Audit.subject == row.name, Audit.at == last.at
    )
    detail = session.scalar(query.order_by(Audit.id.desc()).limit(1))
    return str(json.loads(detail)["to"]) if detail else ROLE


def graduate_of(
    settings: Settings, row: Account, role: str, *, used: int | None, grace: int, now: int
) -> Graduate:
    """Return what becoming *role* means for the account *row*, which holds *used* bytes."""
    before = settings.roles.get(row.role) or generous(settings)
    old = effective(row.mailbox, row.mailbox_until, of_role=before.mailbox, now=now)
    new = settings.roles[role].mailbox
    own = effective(row.mailbox, row.mailbox_until, of_role=None, now=now)
    # Who cannot be measured gets the grace as well: nobody loses mail to our ignorance.
    needs_grace = bool(new) and (used is None or used > new)
    return Graduate(
        account=row.id,
        name=row.name,
        role=row.role,
        to=role,
        old_quota=old,
        new_quota=new,
        used=used,
        keeps_until=now + grace if needs_grace else None,
        own=own,
    )


def _by_name(session: Session, settings: Settings, names: Sequence[str]) -> dict[str, Account]:
    """Return the accounts of those *names* that are no aliases, by name as given."""
    plain = {name: named(name, settings.site) for name in names}
    rows = _held(session, Account.name, [each for each in plain.values() if each.isprintable()])
    found = {row.name: row for row in rows}
    return {name: found[each] for name, each in plain.items() if each in found}


def _held(session: Session, column: InstrumentedAttribute[T], values: Sequence[T]) -> list[Account]:
    rows: list[Account] = []
    for part in bulk.cut(values):
        query = select(Account).where(Account.removed_at.is_(None), column.in_(part))
        rows += session.scalars(query)
    return rows


def _columns(each: Graduate, rev: int) -> dict[str, object]:
    """Return what becomes of the account's row."""
    keeps = each.keeps_until is not None
    return {
        "role": each.to,
        "mailbox": each.old_quota if keeps else None,
        "mailbox_until": each.keeps_until,
        "rev": rev,
    }


def _detail(each: Graduate) -> dict[str, object]:
    """Return what the audit says."""
    return {
        "from": each.role,
        "to": each.to,
        "until": each.keeps_until,
        "own_mailbox": each.own,
    }


def _address(settings: Settings, name: str) -> str:
    return f"{name}@{settings.site.domains[0]}"


def _dedupe(account: int, at: int) -> str:
    """Return what a graduation's notice is sent once per."""
    return f"graduated {account} {at}"


def _notice(settings: Settings, name: str, each: Graduate, at: int) -> dict[str, object]:
    graduated = (each.role, each.to) == (STUDENT, ROLE)
    text = (
        "You have graduated, and your mail account stays yours as an alumni account.\n"
        if graduated
        else f"Your mail account is now of the kind {each.to} (before: {each.role}).\n"
    )
    text += f"Its mailbox holds {_shown(each.new_quota)} (before: {_shown(each.old_quota)}).\n"
    if each.keeps_until is not None:
        day = datetime.fromtimestamp(each.keeps_until, UTC).strftime("%Y-%m-%d")
        held = "" if each.used is None else f" You hold {_shown(each.used)} now."
        text += (
            f"\nUntil {day} the old size stays.{held} After that day a mailbox that holds more\n"
            "takes no new mail until you delete some; nothing you have is deleted by us.\n"
        )
    if settings.site.help_url:
        text += f"\n{settings.site.help_url}\n"
    return {
        "kind": "graduated",
        "dedupe": _dedupe(each.account, at),
        "recipient": _address(settings, name),
        "subject": f"Your mail account {'after graduation' if graduated else 'changed'}",
        "text": text,
        "created_at": at,
    }


def _shown(size: int) -> str:
    return format_size(size) if size else "any amount"
