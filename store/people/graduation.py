"""Graduates become alumni: role, quota and limits in one step, one or a whole cohort (R7).

Who holds more than the new quota keeps the old one until a date (a mailbox override
with an end): after it no new mail is taken, and nothing stored is ever deleted. What
an account was before is kept, so a graduation can be undone. Overrides of sending and
attachments stay: somebody gave them to this person, for good or until their date; one
of the mailbox ends, and an undo brings it back. Each gets a notice (`store.people.notices`).
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.settings import Settings
from config.units import format_size
from store import audit, bulk
from store.audit import AuditContext, record
from store.engine import Store
from store.errors import Refused
from store.models import AccountRow, AuditRow, GraduationRow, NoticeRow
from store.people import notices
from store.people.fields import check_role
from store.people.graduation_plan import ROLE, STUDENT, Graduate, GraduationPlan
from store.people.view import row_of
from store.revision import advance

ACTION = "account.graduate"


def carry_out(
    store: Store,
    settings: Settings,
    todo: GraduationPlan,
    *,
    change: AuditContext,
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
    change: AuditContext,
    at: int,
    rev: int,
) -> int:
    """Graduate inside a transaction that has taken *rev*; return how many.

    An account that changed its role since the plan is left as it is.
    """
    wanted = {each.account: each for each in graduates}
    query = select(
        AccountRow.id,
        AccountRow.name,
        AccountRow.role,
        AccountRow.mailbox,
        AccountRow.mailbox_until,
    )
    held = session.execute(query.where(AccountRow.id.in_(wanted), AccountRow.removed_at.is_(None)))
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
    bulk.add(session, GraduationRow, before)
    bulk.change(session, AccountRow, {row.id: _columns(each, rev) for row, each in going})
    bulk.add(session, NoticeRow, [_notice(settings, row.name, each, at) for row, each in going])
    bulk.add(
        session,
        AuditRow,
        [
            audit.row(change, at=at, action=ACTION, subject=row.name, detail=_detail(each))
            for row, each in going
        ],
    )
    return len(going)


def undo(
    store: Store,
    settings: Settings,
    names: Iterable[str],
    *,
    change: AuditContext,
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


def _last(session: Session, row: AccountRow) -> GraduationRow:
    """Return the graduation that made *row* what it is; raise `Refused` where none did."""
    last = session.scalar(
        select(GraduationRow)
        .where(GraduationRow.account_id == row.id, GraduationRow.undone_at.is_(None))
        .order_by(GraduationRow.id.desc())
        .limit(1)
    )
    if last is None:
        raise Refused(f"{row.name} has not graduated, so there is nothing to undo")
    became = _became(session, row, last)
    if row.role != became:
        raise Refused(f"{row.name} is {row.role} since, not {became}: set the role instead")
    return last


def _became(session: Session, row: AccountRow, last: GraduationRow) -> str:
    """Return the role that *last* gave; its audit row says it."""
    query = select(AuditRow.detail).where(
        AuditRow.action == ACTION, AuditRow.subject == row.name, AuditRow.at == last.at
    )
    detail = session.scalar(query.order_by(AuditRow.id.desc()).limit(1))
    return str(json.loads(detail)["to"]) if detail else ROLE


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
