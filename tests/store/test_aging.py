from sqlalchemy import func, select

from store import aging
from store.engine import Store
from store.models import Answer, Usage
from store.usage_report import report

NOW = 1_800_000_000


def fill(store: Store, count: int) -> None:
    with store.changing() as session:
        for n in range(count):
            over = n % 2 == 0
            session.add(
                Usage(
                    subject=f"client 192.0.2.{n}", span=3600, slot=NOW // 60, used=1, past=b"",
                    refused=0, until=NOW if over else NOW + 60,
                )
            )  # fmt: skip
            session.add(Answer(id=n, at=NOW - aging.ANSWER_SECONDS + (not over), action=""))


def test_what_is_over_is_forgotten_and_nothing_else(store: Store) -> None:
    fill(store, 2 * aging.BATCH + 10)
    gone = aging.forget(store, now=NOW)
    assert (gone.windows, gone.answers) == (aging.BATCH + 5, aging.BATCH + 5)
    with store.reading() as session:
        assert session.scalar(select(func.min(Usage.until))) == NOW + 60
        assert session.scalar(select(func.count()).select_from(Answer)) == aging.BATCH + 5
    assert aging.forget(store, now=NOW) == aging.Forgotten(0, 0)


def test_the_report_counts_only_what_still_counts(store: Store) -> None:
    fill(store, 2)
    assert [used.used for used in report(store, now=NOW)] == [1, 1]
    assert [used.subject for used in report(store, subject="client 192.0.2.1", now=NOW)] == [
        "client 192.0.2.1"
    ]
    assert report(store, now=NOW + 3700) == []
