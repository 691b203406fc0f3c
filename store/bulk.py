"""Thousands of rows in few statements; through the ORM it takes ten times as long."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TypeVar, cast

from sqlalchemy import Table, bindparam, insert, update
from sqlalchemy.orm import Session

from store.models import Base

T = TypeVar("T")
Rows = Sequence[Mapping[str, object]]

# Bound parameters of one statement stay far below every database's limit.
BATCH = 500
# Between two steps, for decisions: a writer waiting for SQLite's lock retries within this.
PAUSE_SECONDS = 0.02
_KEY = "key_of_the_row"  # no column's name


def batches(items: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """Return *items* in parts of *size*."""
    return (items[start : start + size] for start in range(0, len(items), size))


def add(session: Session, table: type[Base], rows: Rows) -> None:
    """Insert *rows*, which all name the same columns."""
    if rows:
        session.connection().execute(insert(_of(table)), [dict(row) for row in rows])


def change(session: Session, table: type[Base], rows: Mapping[int, Mapping[str, object]]) -> None:
    """Set the columns that each of *rows*, by id, names."""
    alike = sorted(rows.items(), key=_columns)
    for columns, group in groupby(alike, key=_columns):
        statement = (
            update(_of(table))
            .where(_of(table).c.id == bindparam(_KEY))
            .values({column: bindparam(column) for column in columns})
        )
        session.connection().execute(statement, [{**row, _KEY: key} for key, row in group])


def delete_all(step: Callable[[], int]) -> int:
    """Repeat *step*, which deletes some rows, until none is left; return how many went."""
    total = 0
    while count := step():
        total += count
        time.sleep(PAUSE_SECONDS)
    return total


def _columns(row: tuple[int, Mapping[str, object]]) -> list[str]:
    return sorted(row[1])


def _of(table: type[Base]) -> Table:
    return cast("Table", table.__table__)
