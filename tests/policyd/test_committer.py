"""Group commit with bugs and stores that hang: one ticket's trouble affects no other."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import pytest

from policyd.committer import Committer
from policyd.store_thread import MAX_BATCH
from store import models
from store.engine import Store
from store.errors import StoreUnavailable
from store.limits.counters import Deleted
from store.limits.counters_sqlite import SqliteCounters
from store.limits.report import report
from store.limits.window import Charge, ChargeResult, Limit, LocalCharge, RefusalText
from tests.policyd.test_store_loss import locked

ROOM = Limit("account alice", 3600, 100)
NONE = Limit("account bob", 3600, 0)
POISON = 13
Work: TypeAlias = Callable[[Committer], Coroutine[None, None, None]]


class Flawed(SqliteCounters):
    """Counters with a bug wherever the message `POISON` comes, and in deleting."""

    def restore(self, entries: Sequence[LocalCharge]) -> None:
        if any(entry.charge.id == POISON for entry in entries):
            raise ValueError
        super().restore(entries)

    def delete_expired(self) -> Deleted:
        raise ValueError


class Hanging(SqliteCounters):
    """Counters in a store that fails, and then falls silent."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.answering = threading.Event()

    def charge(self, batch: Sequence[Charge], word: RefusalText) -> list[ChargeResult]:
        del batch, word
        raise StoreUnavailable

    def restore(self, entries: Sequence[LocalCharge]) -> None:
        self.answering.wait(30)
        super().restore(entries)


class Asked:
    """A ticket whose outcome can be waited for."""

    wanted = True

    def __init__(self, charge: Charge) -> None:
        self.charge = charge
        self.outcome: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()

    def settle(self, result: ChargeResult) -> None:
        self.outcome.set_result(result.accepted)

    def fail(self) -> None:
        self.outcome.set_result(None)


def word(charge: Charge, verdict: ChargeResult, now: float) -> str:
    del verdict, now
    if charge.id == POISON:
        raise ValueError
    return "450"


async def outcomes(committer: Committer, *charges: Charge) -> list[bool | None]:
    asked = [Asked(charge) for charge in charges]
    for each in asked:
        committer.submit(each)
    async with asyncio.timeout(10):
        return [await each.outcome for each in asked]


async def back(committer: Committer) -> None:
    async with asyncio.timeout(10):
        while committer.lost:  # noqa: ASYNC110 - the log says it, nothing else
            await asyncio.sleep(0.01)


def committing(
    store: Store,
    work: Work,
    *,
    usage: SqliteCounters | None = None,
    on_loss: Literal["local", "defer"] = "local",
) -> dict[str, int]:
    """Do *work* with a committer on *store*; return what is counted in the end."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        committer = Committer(usage or Flawed(store), word, loop, on_loss=lambda: on_loss)
        committer.start()
        try:
            await work(committer)
        finally:
            await asyncio.to_thread(committer.stop)

    asyncio.run(run())
    return {used.subject: used.used for used in report(store)}


def test_a_ticket_that_causes_a_bug_fails_alone(store: Store) -> None:
    async def work(committer: Committer) -> None:
        good, poison = Charge(1, 1, (ROOM,)), Charge(POISON, 1, (NONE,))
        assert await outcomes(committer, good, poison, Charge(2, 1, (ROOM,))) == [True, None, True]
        assert await outcomes(committer, Charge(3, 1, (ROOM,))) == [True]

    assert committing(store, work)["account alice"] == 3


def test_tickets_of_closed_connections_delay_no_other(store: Store) -> None:
    class Gone(Asked):
        wanted = False

    async def work(committer: Committer) -> None:
        gone = Gone(Charge(2, 1, (ROOM,)))
        for _ in range(MAX_BATCH * 600):
            committer.submit(gone)
        assert await outcomes(committer, Charge(1, 1, (ROOM,))) == [True]

    assert committing(store, work) == {"account alice": 1}


def test_a_local_charge_that_causes_a_bug_is_lost_alone(store: Store, tmp_path: Path) -> None:
    async def work(committer: Committer) -> None:
        with locked(tmp_path / "gatepost.db"):
            await outcomes(committer, Charge(1, 1, (ROOM,)))
            await outcomes(committer, Charge(POISON, 1, (ROOM,)), Charge(2, 1, (ROOM,)))
        await back(committer)

    assert committing(store, work)["account alice"] == 2


def test_a_charge_that_a_hanging_store_accepts_later_is_counted_once(
    store: Store, tmp_path: Path
) -> None:
    async def work(committer: Committer) -> None:
        with locked(tmp_path / "gatepost.db"):
            # Nameless, as a named one is after the outage of more than ANSWER_SECONDS.
            assert await outcomes(committer, Charge(None, 5, (ROOM,))) == [True]
        await back(committer)

    assert committing(store, work)["account alice"] == 5


def test_local_charges_are_written_to_the_store_at_the_end(store: Store, tmp_path: Path) -> None:
    async def work(committer: Committer) -> None:
        with locked(tmp_path / "gatepost.db"):
            await outcomes(committer, Charge(1, 5, (ROOM,)))
            await outcomes(committer, Charge(2, 5, (ROOM,)))

    assert committing(store, work)["account alice"] == 10


def test_local_charges_that_cannot_be_written_at_the_end_are_logged(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with locked(tmp_path / "gatepost.db"):

        async def work(committer: Committer) -> None:
            await outcomes(committer, Charge(1, 5, (ROOM,)))
            await outcomes(committer, Charge(2, 5, (ROOM,)))

        committing(store, work)
    assert "event=counts-lost charges=2" in caplog.messages


def test_peers_that_ask_one_by_one_share_the_next_transaction(store: Store) -> None:
    async def work(committer: Committer) -> None:
        await outcomes(committer, *(Charge(None, 1, (ROOM,)) for _ in range(10)))
        before = transactions(store)
        again = []
        for _ in range(10):  # a turn of the loop each
            again.append(Asked(Charge(None, 1, (ROOM,))))
            committer.submit(again[-1])
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            assert all([await each.outcome for each in again])
        assert transactions(store) == before + 1

    committing(store, work)


def transactions(store: Store) -> int:
    with store.reading() as session:
        return session.query(models.BatchRow).count()


def test_local_charges_that_hang_at_the_end_are_logged(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    usage = Hanging(store)

    async def work(committer: Committer) -> None:
        assert await outcomes(committer, Charge(1, 5, (ROOM,))) == [True]

    try:
        committing(store, work, usage=usage)
    finally:
        usage.answering.set()
    assert "event=counts-lost charges=1" in caplog.messages
