"""Deleting old counters never holds up a decision."""

import time
from pathlib import Path

import pytest

from store import models, schema
from store.engine import Store
from store.limits.counters import EXPIRY_ROWS
from store.limits.open import open_counters
from tests.policyd.daemon import configure, running

OLD = 3000
STEP_SECONDS = 0.02


def filled(url: str) -> None:
    """Make a store with windows and messages that expired long ago."""
    store = Store(url)
    schema.upgrade(store)
    with store.changing() as session:
        session.add_all(
            models.UsageRow(
                subject=f"client 198.51.{n >> 8}.{n & 255}",
                span=3600, slot=1, used=1, past=b"", refused=0, until=7200,
            )
            for n in range(OLD)
        )  # fmt: skip
        session.add_all(models.BatchRow(at=1, messages=bytes(8), refused="{}") for _ in range(OLD))
    store.close()


def rows(url: str) -> int:
    store = Store(url)
    try:
        with store.reading() as session:
            return sum(session.query(table).count() for table in (models.UsageRow, models.BatchRow))
    finally:
        store.close()


def test_a_deletion_step_takes_less_than_twenty_milliseconds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gatepost.db"
    filled(url)
    store = Store(url)
    usage = open_counters(store)
    taken = []
    gone = 0
    while True:
        start = time.thread_time()  # CPU time: the machine may be busy
        count = sum(usage.delete_expired())
        taken.append(time.thread_time() - start)
        assert count <= 2 * EXPIRY_ROWS
        gone += count
        if not count:
            break
    usage.close()
    store.close()
    assert gone == 2 * OLD - 1  # the last batch numbers the next
    assert sorted(taken)[len(taken) // 2] < STEP_SECONDS


@pytest.mark.integration
def test_a_running_policyd_deletes_expired_rows_and_keeps_deciding(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gatepost.db"
    filled(url)
    with running(configure(tmp_path, url)) as daemon, daemon.client() as client:
        until = time.monotonic() + 30
        asked = 0
        while rows(url) > asked + 2:  # the requests just made, their window, the last old batch
            assert time.monotonic() < until
            asked += 1
            assert client.ask(instance=asked) == "DUNNO"
