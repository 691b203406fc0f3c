"""Delete windows that have emptied and replies too old to be repeated, so the store stays small.

In small transactions, so that no decision waits long for one of them; policyd does
it in the background, `gatepost maintain` for sites where policyd was down.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select, tuple_

from store import bulk
from store.engine import Store
from store.models import SettledMessage, UsageRow

# Rows deleted in one transaction, by one statement: it takes some 5 ms, so nobody waits 20 ms.
BATCH = 200
# Postfix repeats a request after 1 s; a repeat that reaches another machine after a
# restart comes within its queue of connections, far below this.
ANSWER_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows went."""

    windows: int
    answers: int


def forget_expired(store: Store, *, now: int | None = None) -> Forgotten:
    """Delete all of them; raises `StoreUnavailable`."""
    if now is None:
        with store.reading() as session:
            now = store.now(session)
    windows = bulk.delete_all(lambda: forget_windows(store, now=now))
    answers = bulk.delete_all(lambda: forget_answers(store, now=now))
    return Forgotten(windows, answers)


def forget_windows(store: Store, *, now: int) -> int:
    """Delete at most `BATCH` empty windows; return how many."""
    key = (UsageRow.subject, UsageRow.span)
    with store.changing() as session:
        keys = session.execute(select(*key).where(UsageRow.until <= now).limit(BATCH)).all()
        if keys:
            # The condition again: a decision may have used the row meanwhile.
            over = delete(UsageRow).where(tuple_(*key).in_(keys), UsageRow.until <= now)
            session.execute(over, execution_options={"synchronize_session": False})
        return len(keys)


def forget_answers(store: Store, *, now: int) -> int:
    """Delete at most `BATCH` replies that are too old to be repeated; return how many."""
    old: ColumnElement[bool] = SettledMessage.at <= now - ANSWER_SECONDS
    with store.changing() as session:
        ids = session.scalars(select(SettledMessage.id).where(old).limit(BATCH)).all()
        if ids:
            gone = delete(SettledMessage).where(SettledMessage.id.in_(ids))
            session.execute(gone, execution_options={"synchronize_session": False})
        return len(ids)
