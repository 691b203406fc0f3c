"""What the sending limits hold now, for people: read only, nothing is charged."""

from dataclasses import dataclass

from sqlalchemy import select

from store.engine import Store
from store.models import Usage
from store.window import Window

MAX_ROWS = 100_000  # a campus has fewer accounts and addresses in use at once


@dataclass(frozen=True, slots=True)
class Used:
    """One window of one subject at the time of asking."""

    subject: str  # "client 192.0.2.7", "account alice"
    span: int  # seconds
    used: int  # recipients that count against the limit
    refused: int  # recipients refused since the window was last empty
    until: int  # when the last of them is forgotten, if nothing is added


def report(store: Store, *, subject: str | None = None, now: int | None = None) -> list[Used]:
    """Return the windows in use, of one *subject* or the fullest first of all."""
    query = select(Usage).limit(MAX_ROWS)
    if subject is not None:
        query = query.where(Usage.subject == subject)
    with store.reading() as session:
        at = store.now(session) if now is None else now
        found = [_used(row, at) for row in session.scalars(query)]
    found = [used for used in found if used.used or used.refused]
    return sorted(found, key=lambda used: (-used.used, used.subject, used.span))


def _used(row: Usage, now: int) -> Used:
    window = Window(row.span, row.slot, used=row.used, past=row.past, refused=row.refused)
    until = window.until
    window.advance(now)
    return Used(row.subject, row.span, window.total, window.refused, until)
