"""Forget what says nothing any more: empty windows, old answers, so the store does not grow.

In small transactions, so that no decision waits long for one of them; policyd does
it in the background, `gatepost maintain` for sites where policyd was down.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select

from store import guesses
from store.engine import Store
from store.models import Answer, Usage

# Rows a transaction: about 2 ms on SQLite with an fsync, so nobody waits 20 ms.
BATCH = 200
# Postfix repeats a request after 1 s; a repeat that reaches another machine after a
# restart comes within its queue of connections, far below this.
ANSWER_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows went."""

    windows: int
    answers: int


def forget(store: Store, *, now: int | None = None) -> Forgotten:
    """Forget everything that is over; raises `StoreUnavailable`."""
    if now is None:
        with store.reading() as session:
            now = store.now(session)
    windows = answers = 0
    while count := forget_windows(store, now=now):
        windows += count
    while count := forget_answers(store, now=now):
        answers += count
    while guesses.forget(store, now=now):
        pass  # failed logins that count no longer, places nobody logs in from any more
    return Forgotten(windows, answers)


def forget_windows(store: Store, *, now: int) -> int:
    """Forget at most `BATCH` windows that hold nothing any more; return how many."""
    with store.changing() as session:
        rows = session.execute(
            select(Usage.subject, Usage.span).where(Usage.until <= now).limit(BATCH)
        ).all()
        for subject, span in rows:
            # The condition again: a decision may have used the row meanwhile.
            over = (Usage.subject == subject, Usage.span == span, Usage.until <= now)
            session.execute(delete(Usage).where(*over))
        return len(rows)


def forget_answers(store: Store, *, now: int) -> int:
    """Forget at most `BATCH` answers that no repeat can ask for any more; return how many."""
    old: ColumnElement[bool] = Answer.at <= now - ANSWER_SECONDS
    with store.changing() as session:
        ids = session.scalars(select(Answer.id).where(old).limit(BATCH)).all()
        if ids:
            session.execute(delete(Answer).where(Answer.id.in_(ids)))
        return len(ids)
