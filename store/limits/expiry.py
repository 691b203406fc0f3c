"""Forget what says nothing any more: empty windows, old answers, so the store does not grow.

In small transactions, so that no decision waits long for one of them; policyd does
it in the background, `gatepost maintain` for sites where policyd was down.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select, tuple_

from store.engine import Store
from store.logins import guesses
from store.models import SettledMessage, UsageRow

# Rows a transaction, gone by one statement: some 5 ms, so nobody waits 20 ms.
BATCH = 200
# Decisions go first: who waits for SQLite's lock looks again within this.
PAUSE_SECONDS = 0.02
# Postfix repeats a request after 1 s; a repeat that reaches another machine after a
# restart comes within its queue of connections, far below this.
ANSWER_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows went."""

    windows: int
    answers: int


def forget_expired(store: Store, *, now: int | None = None) -> Forgotten:
    """Forget everything that is over; raises `StoreUnavailable`."""
    if now is None:
        with store.reading() as session:
            now = store.now(session)
    windows = _all(lambda: forget_windows(store, now=now))
    answers = _all(lambda: forget_answers(store, now=now))
    # Failed logins that count no longer, places nobody logs in from any more.
    _all(lambda: guesses.delete_expired(store, now=now))
    return Forgotten(windows, answers)


def _all(step: Callable[[], int]) -> int:
    """Repeat *step* until there is nothing left; return how many rows went."""
    total = 0
    while count := step():
        total += count
        time.sleep(PAUSE_SECONDS)
    return total


def forget_windows(store: Store, *, now: int) -> int:
    """Forget at most `BATCH` windows that hold nothing any more; return how many."""
    key = (UsageRow.subject, UsageRow.span)
    with store.changing() as session:
        keys = session.execute(select(*key).where(UsageRow.until <= now).limit(BATCH)).all()
        if keys:
            # The condition again: a decision may have used the row meanwhile.
            over = delete(UsageRow).where(tuple_(*key).in_(keys), UsageRow.until <= now)
            session.execute(over, execution_options={"synchronize_session": False})
        return len(keys)


def forget_answers(store: Store, *, now: int) -> int:
    """Forget at most `BATCH` answers that no repeat can ask for any more; return how many."""
    old: ColumnElement[bool] = SettledMessage.at <= now - ANSWER_SECONDS
    with store.changing() as session:
        ids = session.scalars(select(SettledMessage.id).where(old).limit(BATCH)).all()
        if ids:
            gone = delete(SettledMessage).where(SettledMessage.id.in_(ids))
            session.execute(gone, execution_options={"synchronize_session": False})
        return len(ids)
