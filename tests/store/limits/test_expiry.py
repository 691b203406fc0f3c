"""Forgetting takes what is over, in steps that no decision waits long for."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, func, select

from store import bulk
from store.engine import Store
from store.limits import expiry
from store.limits.counters import FORGET_ROWS
from store.limits.open import open_counters
from store.limits.report import report
from store.limits.window import Charge, ChargeResult, Limit
from store.models import SettledMessage, UsageRow

NOW = 1_800_000_000


def fill(store: Store, count: int, *, now: int = NOW) -> None:
    with store.changing() as session:
        for n in range(count):
            over = n % 2 == 0
            session.add(
                UsageRow(
                    subject=f"client 192.0.2.{n}", span=3600, slot=now // 60, used=1, past=b"",
                    refused=0, until=now if over else now + 60,
                )
            )  # fmt: skip
            session.add(
                SettledMessage(id=n, at=now - expiry.ANSWER_SECONDS + (not over), action="")
            )


def test_what_is_over_is_forgotten_and_nothing_else(store: Store) -> None:
    fill(store, 2 * expiry.BATCH + 10)
    gone = expiry.forget_expired(store, now=NOW)
    assert (gone.windows, gone.answers) == (expiry.BATCH + 5, expiry.BATCH + 5)
    with store.reading() as session:
        assert session.scalar(select(func.min(UsageRow.until))) == NOW + 60
        assert session.scalar(select(func.count()).select_from(SettledMessage)) == expiry.BATCH + 5
    assert expiry.forget_expired(store, now=NOW) == expiry.Forgotten(0, 0)


@pytest.mark.parametrize("forget", [expiry.forget_windows, expiry.forget_answers])
def test_a_step_is_one_statement_a_table_and_leaves_the_lock_soon(
    store: Store, forget: Callable[..., int]
) -> None:
    fill(store, 4 * expiry.BATCH)
    said = statements(store)
    start = time.monotonic()
    assert forget(store, now=NOW) == expiry.BATCH
    assert time.monotonic() - start < 2  # 5 ms on an idle machine, with an idle disk
    assert said["DELETE"] == 1


def test_between_two_steps_decisions_go_first(store: Store) -> None:
    fill(store, 4 * expiry.BATCH)
    start = time.monotonic()
    expiry.forget_expired(store, now=NOW)
    assert time.monotonic() - start > 4 * bulk.PAUSE_SECONDS


def test_a_daemon_forgets_in_one_statement_a_table(store: Store) -> None:
    fill(store, FORGET_ROWS, now=10**9)  # the clock is the store's
    usage, said = open_counters(store), statements(store)
    while usage.forget():
        pass
    usage.close()
    assert said.total() < 40  # SQLite's own connection is not heard here
    with store.reading() as session:
        assert session.scalar(select(func.count()).select_from(UsageRow)) == 0


def test_what_a_batch_of_refused_is_told_is_kept_in_one_statement(store: Store) -> None:
    said = statements(store)
    none = Limit("account bob", 3600, 0)
    batch = [Charge(n, 1, (none,)) for n in range(100)]
    answers = []
    for _ in range(2):
        usage = open_counters(store)
        answers.append([each.action for each in usage.charge(batch, word)])
        usage.close()
    assert answers[0] == answers[1]
    assert said.total() < 40


def word(charge: Charge, verdict: ChargeResult, now: float) -> str:
    return f"450 {charge.id} {verdict.used} {now}"


def statements(store: Store) -> "Counter[str]":
    """Return counts, by their first word, of the statements that the database will get."""
    said: Counter[str] = Counter()

    @event.listens_for(store.engine, "before_cursor_execute")
    def count(*words: Any) -> None:
        _connection, _cursor, text, parameters, _context, many = words
        # PyMySQL sends an INSERT of many rows as one.
        said[text.split()[0]] += len(parameters) if many and not text.startswith("INSERT") else 1

    return said


def test_the_report_counts_only_what_still_counts(store: Store) -> None:
    fill(store, 2)
    assert [used.used for used in report(store, now=NOW)] == [1, 1]
    assert [used.subject for used in report(store, subject="client 192.0.2.1", now=NOW)] == [
        "client 192.0.2.1"
    ]
    assert report(store, now=NOW + 3700) == []
