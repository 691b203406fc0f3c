"""Expired rows are deleted in steps so small that no decision waits long."""

import time
from collections import Counter
from typing import Any

from sqlalchemy import event, func, select

from store import bulk
from store.engine import Store
from store.limits import expiry
from store.limits.counters import ANSWER_SECONDS, CHARGED_SECONDS, EXPIRY_ROWS, Deleted
from store.limits.open import open_counters
from store.limits.report import report
from store.limits.window import Charge, ChargeResult, Limit
from store.models import BatchRow, SettledMessageRow, UsageRow

NOW = int(time.time())


def fill(store: Store, count: int) -> None:
    """Add *count* windows and as many settled messages, of which the older half has expired."""
    is_sqlite = store.dialect == "sqlite"
    kept = CHARGED_SECONDS if is_sqlite else ANSWER_SECONDS
    with store.changing() as session:
        for n in range(count):
            age = 3600 if n < count // 2 else -3600
            session.add(
                UsageRow(
                    subject=f"client 192.0.2.{n}", span=3600, slot=NOW // 60, used=1, past=b"",
                    refused=0, until=NOW - age,
                )
            )  # fmt: skip
            at = NOW - kept - age
            session.add(
                BatchRow(at=at, messages=bytes(8), refused="{}")
                if is_sqlite
                else SettledMessageRow(id=n, at=at, action="")
            )


def rows(store: Store) -> tuple[int, int]:
    """Return the numbers of windows and settled messages."""
    settled = BatchRow if store.dialect == "sqlite" else SettledMessageRow
    with store.reading() as session:
        return session.query(UsageRow).count(), session.query(settled).count()


def test_only_expired_rows_are_deleted_and_every_one(store: Store) -> None:
    fill(store, 2 * EXPIRY_ROWS + 10)
    deleted = expiry.delete_all_expired(store)
    left = EXPIRY_ROWS + 5
    assert (deleted.windows, deleted.answers + deleted.batches) == (left, left)
    assert rows(store) == (left, left)
    with store.reading() as session:
        assert session.scalar(select(func.min(UsageRow.until))) == NOW + 3600
    assert expiry.delete_all_expired(store) == Deleted()


def test_decisions_go_first_between_two_steps(store: Store) -> None:
    fill(store, 4 * EXPIRY_ROWS)
    start = time.monotonic()
    expiry.delete_all_expired(store)
    assert time.monotonic() - start > 2 * bulk.PAUSE_SECONDS


def test_a_step_is_one_statement_a_table(store: Store) -> None:
    fill(store, EXPIRY_ROWS)
    usage, statements = open_counters(store), count_statements(store)
    while sum(usage.delete_expired()):
        pass
    usage.close()
    assert statements.total() < 40  # SQLite's own connection is not counted
    assert rows(store)[0] == EXPIRY_ROWS // 2


def test_the_replies_of_a_batch_of_refusals_are_kept_in_one_statement(store: Store) -> None:
    statements = count_statements(store)
    none = Limit("account bob", 3600, 0)
    batch = [Charge(n, 1, (none,)) for n in range(100)]
    answers = []
    for _ in range(2):
        usage = open_counters(store)
        answers.append([each.action for each in usage.charge(batch, refusal_text)])
        usage.close()
    assert answers[0] == answers[1]
    assert statements.total() < 40


def refusal_text(charge: Charge, result: ChargeResult, now: float) -> str:
    return f"450 {charge.id} {result.used} {now}"


def count_statements(store: Store) -> "Counter[str]":
    """Return a counter, by first refusal_text, of the statements that the database will get."""
    statements: Counter[str] = Counter()

    @event.listens_for(store.engine, "before_cursor_execute")
    def count(*arguments: Any) -> None:
        _connection, _cursor, text, parameters, _context, many = arguments
        # PyMySQL sends an INSERT of many rows as one.
        one = not many or text.startswith("INSERT")
        statements[text.split()[0]] += 1 if one else len(parameters)

    return statements


def test_the_report_leaves_out_what_no_longer_counts(store: Store) -> None:
    fill(store, 2)
    assert [used.used for used in report(store, now=NOW)] == [1, 1]
    assert [used.subject for used in report(store, subject="client 192.0.2.1", now=NOW)] == [
        "client 192.0.2.1"
    ]
    assert report(store, now=NOW + 2 * 3600) == []
