"""The current use of the sending limits, for operators; charges nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Integer, Select, literal_column, select
from sqlalchemy.orm import Session

from store.engine import Store
from store.limits.window import Window
from store.models import UsageRow

MAX_ROWS = 100_000  # a campus has fewer accounts and addresses in use at once


@dataclass(frozen=True, slots=True)
class Used:
    """One window of one subject, as it is now."""

    subject: str  # "client 192.0.2.7", "account alice"
    span: int  # seconds
    used: int  # recipients that count against the limit
    refused: int  # recipients refused since the window was last empty
    until: int  # when it will be empty if nothing is added


def report(store: Store, *, subject: str | None = None, now: int | None = None) -> list[Used]:
    """Return the windows in use, of one *subject* or the fullest first of all."""
    query = select(UsageRow).limit(MAX_ROWS)
    if subject is not None:
        query = query.where(UsageRow.subject == subject)
    with store.reading() as session:
        at = store.now(session, now)
        if store.dialect == "sqlite":
            found = [_used(row, at) for row in _with_log(session, query)]
        else:
            found = [_used(row, at) for row in session.scalars(query)]
    found = [used for used in found if used.used or used.refused]
    return sorted(found, key=lambda used: (-used.used, used.subject, used.span))


def _with_log(session: Session, query: Select[UsageRow]) -> Iterator[UsageRow]:
    """Return the rows with the counts of the log: on SQLite they lag up to a second."""
    from store.limits.sqlite_log import ahead, unpack_counts

    connection = session.connection()
    connection.exec_driver_sql("BEGIN")  # log and rows of the same moment
    behind = ahead(connection)
    session.autoflush = False  # what is set here is not to be written
    for row, place in session.execute(query.add_columns(literal_column("rowid", Integer))):
        if place in behind:
            row.used, row.refused = unpack_counts(behind[place])
        yield row


def _used(row: UsageRow, now: int) -> Used:
    window = Window(row.span, row.slot, used=row.used, past=row.past, refused=row.refused)
    until = window.until
    window.advance(now)
    return Used(row.subject, row.span, window.total, window.refused, until)
