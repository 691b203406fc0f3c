"""Mails to people that wait in the store until somebody sends them (`gatepost maintain`)."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import func, select, update

from store.engine import Store
from store.errors import Refused
from store.models import Notice

BATCH = 100


@dataclass(frozen=True, slots=True)
class Waiting:
    """One mail."""

    id: int
    recipient: str
    subject: str
    text: str


def waiting(store: Store, *, after: int = 0, limit: int = BATCH) -> list[Waiting]:
    """Return the oldest *limit* mails that nobody has sent, from the one *after* a number."""
    query = select(Notice).where(Notice.sent_at.is_(None), Notice.id > after)
    with store.reading() as session:
        rows = session.scalars(query.order_by(Notice.id).limit(limit))
        return [Waiting(n.id, n.recipient, n.subject, n.text) for n in rows]


def count(store: Store) -> int:
    """Return how many wait."""
    with store.reading() as session:
        query = select(func.count()).select_from(Notice).where(Notice.sent_at.is_(None))
        return session.scalar(query) or 0


def send(store: Store, deliver: Callable[[Waiting], None], *, now: int | None = None) -> int:
    """Hand every waiting mail to *deliver*; return how many went.

    A mail that *deliver* refuses waits for the next time and stops no other one; then
    this raises `Refused`.
    """
    sent, last, refusals = 0, 0, []
    while batch := waiting(store, after=last):
        for each in batch:
            try:
                sent += _send(store, each, deliver, now)
            except Refused as refusal:
                refusals.append(str(refusal))
        last = batch[-1].id
    if refusals:
        raise Refused(f"{sent} sent, {len(refusals)} notices wait: {refusals[0]}")
    return sent


def _send(store: Store, mail: Waiting, deliver: Callable[[Waiting], None], now: int | None) -> bool:
    """Send *mail* unless another machine just does.

    It is marked first: of two machines one gets it, and nobody gets it twice.
    """
    unsent = update(Notice).where(Notice.id == mail.id, Notice.sent_at.is_(None))
    with store.changing() as session:
        at = store.now(session) if now is None else now
        claimed = session.connection().execute(unsent.values(sent_at=at))
    if not claimed.rowcount:
        return False
    try:
        deliver(mail)
    except BaseException:
        with store.changing() as session:
            session.execute(update(Notice).where(Notice.id == mail.id).values(sent_at=None))
        raise
    return True
