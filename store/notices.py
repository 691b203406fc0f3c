"""Mails to people that wait in the store until somebody sends them (`gatepost maintain`)."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import func, select

from store.engine import Store
from store.models import Notice

BATCH = 100  # a transaction; what was sent before a crash is sent at most once more


@dataclass(frozen=True, slots=True)
class Waiting:
    """One mail."""

    id: int
    recipient: str
    subject: str
    text: str


def waiting(store: Store, *, limit: int = BATCH) -> list[Waiting]:
    """Return the oldest *limit* mails that nobody has sent."""
    query = select(Notice).where(Notice.sent_at.is_(None)).order_by(Notice.id).limit(limit)
    with store.reading() as session:
        return [Waiting(n.id, n.recipient, n.subject, n.text) for n in session.scalars(query)]


def count(store: Store) -> int:
    """Return how many wait."""
    with store.reading() as session:
        query = select(func.count()).select_from(Notice).where(Notice.sent_at.is_(None))
        return session.scalar(query) or 0


def send(store: Store, deliver: Callable[[Waiting], None], *, now: int | None = None) -> int:
    """Hand every waiting mail to *deliver*, mark it, return how many; *deliver* may raise."""
    sent = 0
    while batch := waiting(store):
        for each in batch:
            deliver(each)
            with store.changing() as session:
                row = session.get(Notice, each.id)
                if row is not None:
                    row.sent_at = store.now(session) if now is None else now
            sent += 1
    return sent
