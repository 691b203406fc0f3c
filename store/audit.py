"""Who changed what, when and why: one row in the same transaction as the change."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.engine import Store
from store.models import AuditRow

MAX_WHY = 255
MAX_WHO = 320
# A change of a cohort names its accounts elsewhere; one row stays readable.
MAX_DETAIL = 4000
MAX_LISTED = 10_000


@dataclass(frozen=True, slots=True)
class AuditContext:
    """The person (or service) that changes something, and the reason given."""

    who: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit."""

    at: int
    who: str
    action: str
    subject: str
    why: str
    detail: dict[str, object]


def record(
    session: Session,
    change: AuditContext,
    *,
    at: int,
    action: str,
    subject: str,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Add a row for *change*; *detail* never holds a secret or an identity number."""
    session.add(AuditRow(**row(change, at=at, action=action, subject=subject, detail=detail)))


def row(
    change: AuditContext,
    *,
    at: int,
    action: str,
    subject: str,
    detail: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Return what `record` adds, for who adds thousands at once."""
    text = json.dumps(detail or {}, ensure_ascii=False, sort_keys=True, default=str)
    if len(text) > MAX_DETAIL:
        text = json.dumps({"cut": text[: MAX_DETAIL // 2]}, ensure_ascii=False)
    return {
        "at": at,
        "who": change.who[:MAX_WHO],
        "action": action,
        "subject": subject[:MAX_WHO],
        "why": change.why[:MAX_WHY],
        "detail": text,
    }


def entries(store: Store, *, subject: str | None = None, limit: int = 100) -> list[AuditEntry]:
    """Return the newest *limit* rows, newest first, of one *subject* or of all."""
    query = select(AuditRow).order_by(AuditRow.id.desc()).limit(min(limit, MAX_LISTED))
    if subject is not None:
        query = query.where(AuditRow.subject == subject)
    with store.reading() as session:
        return [
            AuditEntry(row.at, row.who, row.action, row.subject, row.why, json.loads(row.detail))
            for row in session.scalars(query)
        ]
