"""Who changed what, when and why: rows in the same transaction as the change."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.units import UnixSeconds
from store import bulk
from store.engine import Store
from store.models import AuditRow
from store.revision import advance

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


@dataclass(slots=True)
class Transaction:
    """What the parts of one change share; see `transaction`."""

    session: Session
    change: AuditContext
    at: UnixSeconds
    _rev: int | None = None

    def rev(self) -> int:
        """Return the revision of this change, for every row that memory copies must see.

        The first call takes it and locks it until commit, so that no other process changes such
        rows meanwhile: call it before reading what must stay true, such as that a name is free.
        """
        if self._rev is None:
            self._rev = advance(self.session)
        return self._rev

    def record(self, action: str, subject: str, detail: Mapping[str, object] | None = None) -> None:
        """Add the audit row; *detail* never holds a secret or an identity number."""
        self.record_all(action, [(subject, detail or {})])

    def record_all(self, action: str, details: Iterable[tuple[str, Mapping[str, object]]]) -> None:
        """Add an audit row for each (subject, detail)."""
        rows = [
            {
                "at": self.at,
                "who": self.change.who[:MAX_WHO],
                "action": action,
                "subject": subject[:MAX_WHO],
                "why": self.change.why[:MAX_WHY],
                "detail": _as_json(detail),
            }
            for subject, detail in details
        ]
        bulk.add(self.session, AuditRow, rows)


@contextmanager
def transaction(
    store: Store, change: AuditContext, *, now: UnixSeconds | None = None
) -> Iterator[Transaction]:
    """Begin a change: one transaction, one time (*now*, or the store's clock), its audit rows.

        with transaction(store, change, now=now) as tx:
            rev = tx.rev()
            row = row_of(tx.session, settings, name)
            row.role, row.rev = role, rev
            tx.record("account.set", row.name, {"role": role})

    Commits at the end and rolls back on any exception. Raises `StoreUnavailable`.
    """
    with store.changing() as session:
        yield Transaction(session, change, store.now(session, now))


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


def _as_json(detail: Mapping[str, object]) -> str:
    text = json.dumps(detail, ensure_ascii=False, sort_keys=True, default=str)
    if len(text) > MAX_DETAIL:
        text = json.dumps({"cut": text[: MAX_DETAIL // 2]}, ensure_ascii=False)
    return text
