"""Graduates become alumni: role, quota and limits in one step, one or a whole cohort (R7).

An account that holds more mail than its new quota keeps the old one for a while, by a mailbox
override with an end. After that it receives no new mail; stored mail is never deleted. The old
role and mailbox override are recorded, so that a graduation can be undone. Overrides of sending
and attachment limits stay, because an operator gave them to this person. Each account gets a
notice (`store.people.graduation_notice`).
"""

import json
from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.settings import Settings
from config.units import UnixSeconds
from store import bulk
from store.audit import AuditContext, Transaction, transaction
from store.engine import Store
from store.errors import Refused
from store.models import AccountRow, AuditRow, GraduationRow, NoticeRow
from store.people import notices
from store.people.fields import check_role
from store.people.graduation_notice import dedupe_key, graduation_notice
from store.people.graduation_plan import ROLE, Graduate, GraduationPlan
from store.people.view import row_of

ACTION = "account.graduate"


def carry_out(
    store: Store,
    settings: Settings,
    todo: GraduationPlan,
    *,
    change: AuditContext,
    now: UnixSeconds | None = None,
) -> int:
    """Graduate all accounts of *todo* in one transaction; return how many."""
    with transaction(store, change, now=now) as tx:
        return sum(apply(tx, settings, part) for part in bulk.batches(todo.graduates))


def apply(tx: Transaction, settings: Settings, graduates: Sequence[Graduate]) -> int:
    """Graduate as a part of *tx*; return how many.

    An account whose role changed since the plan was made is left alone.
    """
    session, at, rev = tx.session, tx.at, tx.rev()
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
    bulk.add(
        session, NoticeRow, [graduation_notice(settings, row.name, each, at) for row, each in going]
    )
    tx.record_all(ACTION, ((row.name, _detail(each)) for row, each in going))
    return len(going)


def undo(
    store: Store,
    settings: Settings,
    names: Iterable[str],
    *,
    change: AuditContext,
    now: UnixSeconds | None = None,
) -> list[str]:
    """Restore the role and quota that *names* had before they graduated; return the names.

    All or nothing: raises `Refused` if one never graduated or has been given another role since.
    """
    with transaction(store, change, now=now) as tx:
        session, rev = tx.session, tx.rev()
        rows = {row.id: row for row in (row_of(session, settings, name) for name in names)}
        for row in rows.values():
            last = _last(session, row)
            check_role(settings, last.role)
            row.role, row.mailbox, row.mailbox_until = last.role, last.mailbox, last.mailbox_until
            row.rev, last.undone_at = rev, tx.at
            # A notice that is still unsent would now be wrong.
            notices.withdraw(session, dedupe_key(row.id, last.at))
            tx.record("account.ungraduate", row.name)
        return [row.name for row in rows.values()]


def _last(session: Session, row: AccountRow) -> GraduationRow:
    """Return the latest graduation of *row*; raise `Refused` if its role is not from there."""
    last = session.scalar(
        select(GraduationRow)
        .where(GraduationRow.account_id == row.id, GraduationRow.undone_at.is_(None))
        .order_by(GraduationRow.id.desc())
        .limit(1)
    )
    if last is None:
        raise Refused(f"{row.name} has not graduated: there is nothing to undo")
    became = _became(session, row, last)
    if row.role != became:
        raise Refused(f"{row.name} has since become {row.role}, not {became}: set the role instead")
    return last


def _became(session: Session, row: AccountRow, last: GraduationRow) -> str:
    """Return the role that the graduation *last* gave, which is in its audit row."""
    query = select(AuditRow.detail).where(
        AuditRow.action == ACTION, AuditRow.subject == row.name, AuditRow.at == last.at
    )
    detail = session.scalar(query.order_by(AuditRow.id.desc()).limit(1))
    return str(json.loads(detail)["to"]) if detail else ROLE


def _columns(each: Graduate, rev: int) -> dict[str, object]:
    """Return the new values of the account's row."""
    keeps = each.keeps_until is not None
    return {
        "role": each.to,
        "mailbox": each.old_quota if keeps else None,
        "mailbox_until": each.keeps_until,
        "rev": rev,
    }


def _detail(each: Graduate) -> dict[str, object]:
    """Return the detail of the audit row."""
    return {
        "from": each.role,
        "to": each.to,
        "until": each.keeps_until,
        "own_mailbox": each.own,
    }
