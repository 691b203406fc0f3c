"""Memory and descriptors stay flat over many decisions."""

import contextlib
import threading
import time

import pytest

from store.engine import POOL_SIZE
from tests.chaos.conftest import descriptors, memory
from tests.policyd.conftest import wire
from tests.policyd.daemon import Client, Daemon

MIB = 1 << 20
# Background tasks open a connection of the pool when they first need one at the same time, and
# SQLite holds three files for each. What 20,000 decisions leak, one by one, is far more.
POOLED = 3 * POOL_SIZE


def soak(daemon: Daemon, decisions: int) -> None:
    """Ask *decisions* times on 20 connections; memory and descriptors must stay flat."""
    each = decisions // 20
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(daemon.client()) for _ in range(20)]

        def ask(client: Client, first: int, count: int) -> None:
            for start in range(first, first + count, 100):
                addresses = [f"192.0.2.{n % 250}" for n in range(start, start + 100)]
                client.send(
                    b"".join(
                        wire(instance=f"{id(client)}.{start}.{n}", client_address=address)
                        for n, address in enumerate(addresses)
                    )
                )
                assert all(client.answer() == "DUNNO" for _ in addresses)

        def round_of(first: int, count: int) -> None:
            threads = [
                threading.Thread(target=ask, args=(client, first, count)) for client in clients
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        round_of(0, each // 2 // 100 * 100)
        held, opened = memory(daemon), descriptors(daemon)
        round_of(each, each // 2 // 100 * 100)
        # Replies to messages are remembered for five minutes, up to a bound.
        assert memory(daemon) - held < decisions / 2 * 250 + 8 * MIB
        assert descriptors(daemon) <= opened + POOLED


@pytest.mark.integration
def test_forty_thousand_decisions_leave_only_remembered_replies(
    daemon: Daemon,
) -> None:
    soak(daemon, 40_000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_million_decisions_leave_memory_and_descriptors_flat(daemon: Daemon) -> None:
    # Fills what is remembered of messages (usage_sqlite.MAX_HEARD), and lets its
    # dictionary grow once more to hold as many while old ones go.
    soak(daemon, 1_000_000)
    time.sleep(2)  # until the clients' connections are closed
    held, opened = memory(daemon), descriptors(daemon)
    soak(daemon, 1_000_000)
    time.sleep(2)
    assert memory(daemon) - held < 16 * MIB
    assert descriptors(daemon) <= opened
