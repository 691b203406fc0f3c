"""Notices: mails to users that wait in the store until `gatepost maintain` sends them.

A kill at any moment neither loses a notice nor repeats it for ever. The sender claims it for
`CLAIM_SECONDS`, hands it over and marks it as sent. If killed before the mark, it sends the
notice again later with the same Message-ID. Each try is counted before it is made, the pauses
grow, and after `MAX_TRIES` the postmaster is notified.

The text is readable in the store and its backups, so the portal's links and codes never
go through here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from sqlalchemy import ColumnElement, func, insert, or_, select, update
from sqlalchemy.orm import Session

from config.units import UnixSeconds
from store.engine import Store
from store.errors import Refused
from store.models import NoticeRow

BATCH = 100
# Longer than handing one over may take (cli_commands.sendmail).
CLAIM_SECONDS = 120
# After each try; the last one repeats.
PAUSE_SECONDS = (60, 300, 900, 3600, 14400)
# With these pauses: two days.
MAX_TRIES = 16
MAX_ERROR = 255  # of the column

Kind = Literal["graduated", "given-up"]


class NewNotice(TypedDict):
    """A notice to be sent once for each *dedupe*."""

    kind: Kind
    dedupe: str
    recipient: str
    subject: str
    text: str
    created_at: UnixSeconds


@dataclass(frozen=True, slots=True)
class WaitingNotice:
    """A notice that is not sent yet."""

    id: int
    recipient: str
    subject: str
    text: str
    created_at: UnixSeconds = 0
    tries: int = 0


def add(session: Session, mail: NewNotice) -> None:
    """Queue *mail*, unless there was one of the same *dedupe*."""
    known = select(NoticeRow.id).where(NoticeRow.dedupe == mail["dedupe"])
    if session.scalar(known) is None:
        session.execute(insert(NoticeRow).values(**mail))


def withdraw(session: Session, dedupe: str) -> None:
    """Delete a notice that has not been sent yet.

    One that another process is handing over at this moment still goes out.
    """
    unsent = select(NoticeRow).where(NoticeRow.dedupe == dedupe, NoticeRow.sent_at.is_(None))
    for each in session.scalars(unsent):
        session.delete(each)


def list_waiting(store: Store, *, after: int = 0, limit: int = BATCH) -> list[WaitingNotice]:
    """Return the oldest *limit* unsent notices whose id is greater than *after*."""
    query = select(NoticeRow).where(_unsent(), NoticeRow.id > after)
    with store.reading() as session:
        return _notices_of(session.scalars(query.order_by(NoticeRow.id).limit(limit)).all())


def count(store: Store) -> int:
    """Return how many notices are unsent."""
    with store.reading() as session:
        query = select(func.count()).select_from(NoticeRow).where(_unsent())
        return session.scalar(query) or 0


def send(
    store: Store,
    deliver: Callable[[WaitingNotice], None],
    *,
    postmaster: str = "",
    now: UnixSeconds | None = None,
) -> int:
    """Hand every notice that is due to *deliver*; return how many were sent.

    A notice that *deliver* refuses waits for its next try; the others are still sent, and then
    this raises `Refused`. *postmaster* is notified of one that is given up.
    """
    sent, last, refusals = 0, 0, []
    with store.reading() as session:
        start = store.now(session, now)
    while batch := _due(store, last, start):
        for each in batch:
            try:
                sent += _send(store, each, deliver, postmaster=postmaster, now=now)
            except Refused as refusal:
                refusals.append(str(refusal))
        last = batch[-1].id
    if refusals:
        raise Refused(f"{sent} sent, {len(refusals)} notices wait: {refusals[0]}")
    return sent


def _send(
    store: Store,
    mail: WaitingNotice,
    deliver: Callable[[WaitingNotice], None],
    *,
    postmaster: str,
    now: int | None,
) -> bool:
    """Send *mail*, unless another process is sending it or it was tried too often."""
    with store.changing() as session:
        at = store.now(session, now)
        mine = update(NoticeRow).where(NoticeRow.id == mail.id, _unsent(), *_unclaimed(at))
        if mail.tries >= MAX_TRIES:
            if session.connection().execute(mine.values(given_up_at=at)).rowcount:
                _tell_postmaster(session, mail, postmaster, at)
            return False
        pause = PAUSE_SECONDS[min(mail.tries, len(PAUSE_SECONDS) - 1)]
        claim = mine.values(
            claimed_until=at + CLAIM_SECONDS, tries=mail.tries + 1, next_at=at + pause
        )
        if not session.connection().execute(claim).rowcount:
            return False
    try:
        deliver(mail)
    except Refused as error:
        _mark(store, mail, claimed_until=None, error=str(error)[:MAX_ERROR])
        raise
    _mark(store, mail, claimed_until=None, error=None, sent_at=at)
    return True


def _mark(store: Store, mail: WaitingNotice, **values: object) -> None:
    with store.changing() as session:
        session.execute(update(NoticeRow).where(NoticeRow.id == mail.id).values(**values))


def _tell_postmaster(session: Session, mail: WaitingNotice, postmaster: str, at: int) -> None:
    """Notify *postmaster* that *mail* is given up, unless it was itself to the postmaster."""
    if not postmaster or mail.recipient == postmaster:
        return
    error = session.scalar(select(NoticeRow.error).where(NoticeRow.id == mail.id)) or "no answer"
    text = f"To {mail.recipient}, after {mail.tries} tries: {mail.subject}\n{error}\n"
    add(
        session,
        NewNotice(
            kind="given-up",
            dedupe=f"given-up {mail.id}",
            recipient=postmaster,
            subject="A notice could not be sent",
            text=text,
            created_at=at,
        ),
    )


def _due(store: Store, after: int, at: int) -> list[WaitingNotice]:
    query = select(NoticeRow).where(_unsent(), *_unclaimed(at), NoticeRow.id > after)
    with store.reading() as session:
        return _notices_of(session.scalars(query.order_by(NoticeRow.id).limit(BATCH)).all())


def _notices_of(rows: Sequence[NoticeRow]) -> list[WaitingNotice]:
    return [
        WaitingNotice(n.id, n.recipient, n.subject, n.text, n.created_at, n.tries) for n in rows
    ]


def _unsent() -> ColumnElement[bool]:
    return NoticeRow.sent_at.is_(None) & NoticeRow.given_up_at.is_(None)


def _unclaimed(at: int) -> tuple[ColumnElement[bool], ...]:
    claimed = NoticeRow.claimed_until
    return NoticeRow.next_at <= at, or_(claimed.is_(None), claimed <= at)
