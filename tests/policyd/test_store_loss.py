"""The store fails under a running daemon, and comes back."""

import os
import select
import signal
import socket
import socketserver
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from store.engine import Store
from store.limits.report import report
from tests.policyd import dropping_proxy
from tests.policyd.daemon import Daemon, configure, prepared, running
from tests.stack import mariadb, postgres

pytestmark = pytest.mark.integration
LIMIT = '[limits]\nclient = ["10/1h"]\n'


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold SQLite's write lock, as a stuck process would."""
    holder = sqlite3.connect(path, isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")
    finally:
        holder.close()


def charged(url: str) -> list[int]:
    store = Store(url)
    try:
        return [used.used for used in report(store)]
    finally:
        store.close()


def eventually(claim: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def lines(daemon: Daemon, event: str) -> int:
    return daemon.log.count(f"event={event}")


def test_local_counters_replace_a_hanging_store_and_are_added_to_it_later(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gatepost.db"
    url = prepared(f"sqlite:///{path}")
    with running(configure(tmp_path, url, LIMIT)) as daemon, daemon.client() as client:
        assert client.ask(instance="before", recipient_count=4) == "DUNNO"
        with locked(path):
            start = time.monotonic()
            assert client.ask(instance="a", recipient_count=5) == "DUNNO"
            assert 0.9 < time.monotonic() - start < 3
            start = time.monotonic()
            assert client.ask(instance="b") == "DUNNO"
            assert client.ask(instance="b") == "DUNNO"
            refusal = client.ask(instance="c")
            assert time.monotonic() - start < 0.6  # a second is the patience with a store
            assert refusal.startswith("450 4.7.1 Limit of 10 recipients per hour")
        daemon.wait_for_log("event=store-back")
        assert charged(url) == [10]
        assert client.ask(instance="d").startswith("450 ")
        assert (lines(daemon, "store-lost"), lines(daemon, "store-back")) == (1, 1)
        assert daemon.stop() == 0


def test_with_defer_a_hanging_store_means_no_reply_and_no_charge(tmp_path: Path) -> None:
    path = tmp_path / "gatepost.db"
    url = prepared(f"sqlite:///{path}")
    extra = LIMIT + 'on_store_loss = "defer"\n'
    with running(configure(tmp_path, url, extra)) as daemon:
        with locked(path):
            start = time.monotonic()
            assert daemon.ask(instance="a", recipient_count=10) == ""
            assert 3.5 < time.monotonic() - start < 6
        assert eventually(lambda: daemon.ask(instance="b", recipient_count=10) == "DUNNO", 2)
        assert charged(url) == [10]


@pytest.fixture
def server() -> Iterator[postgres.Postgres]:
    with postgres.running() as started:
        yield started


def test_postgresql_may_be_restarted_in_the_middle_of_the_day(
    tmp_path: Path, server: postgres.Postgres
) -> None:
    url = prepared(server.url)
    with running(configure(tmp_path, url, LIMIT)) as daemon, daemon.client() as client:
        assert client.ask(instance="before", recipient_count=4) == "DUNNO"
        server.control("stop", "-m", "immediate")
        assert client.ask(instance="a", recipient_count=6) == "DUNNO"
        assert client.ask(instance="b").startswith("450 ")
        options = f"-c listen_addresses=127.0.0.1 -c port={server.port} -k {server.folder}"
        server.control("-l", str(server.folder / "log"), "-o", options, "start")
        daemon.wait_for_log("event=store-back")
        assert charged(url) == [10]
        assert client.ask(instance="c").startswith("450 ")
        assert (lines(daemon, "store-lost"), lines(daemon, "store-back")) == (1, 1)


def test_settings_are_reloaded_while_the_store_is_unavailable(
    tmp_path: Path, server: postgres.Postgres
) -> None:
    config = configure(tmp_path, prepared(server.url), LIMIT)
    with running(config) as daemon:
        server.control("stop", "-m", "immediate")
        config.write_text(config.read_text().replace("10/1h", "20/1h"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("event=reloaded")
        assert daemon.ask(recipient_count=15) == "DUNNO"


class Halted:
    """A database server whose processes can be stopped and go on."""

    def __init__(self, server: "postgres.Postgres | mariadb.MariaDB") -> None:
        self._server = server
        self.url = prepared(server.fresh_database(f"halted{time.monotonic_ns()}"))

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if isinstance(self._server, mariadb.MariaDB):
            self._server.process.send_signal(number)
            return
        leader = int((self._server.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
        for process in (leader, *map(int, children)):
            os.kill(process, number)


@pytest.fixture
def halted(request: pytest.FixtureRequest) -> Halted:
    return Halted(request.getfixturevalue(f"{request.param}_server"))


@pytest.mark.parametrize("halted", ["postgres", "mariadb"], indirect=True)
def test_a_stopped_store_costs_a_second_once_and_nothing_leaks(
    tmp_path: Path, halted: Halted
) -> None:
    with running(configure(tmp_path, halted.url, LIMIT)) as daemon:
        assert daemon.ask(instance="before") == "DUNNO"
        opened = descriptors(daemon)
        start = time.monotonic()
        with halted.stopped():
            assert [daemon.ask(instance="a"), daemon.ask(instance="a")] == ["DUNNO"] * 2
        assert time.monotonic() - start < 2
        assert eventually(lambda: daemon.ask(instance=f"b{time.time()}") == "DUNNO", 2)
        daemon.wait_for_log("event=store-back", 2)
        # The pool may keep two connections that it did not have before.
        assert eventually(lambda: descriptors(daemon) <= opened + 2, 2)


@pytest.mark.parametrize("halted", ["postgres", "mariadb"], indirect=True)
def test_a_repeat_that_two_daemons_accept_without_the_store_is_charged_once(
    tmp_path: Path, halted: Halted
) -> None:
    with ExitStack() as stack:
        daemons = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            config = configure(tmp_path / name, halted.url, LIMIT)
            daemons.append(stack.enter_context(running(config)))
        with halted.stopped():
            for instance in ("on its way to the store", "counted locally"):
                # The answer of one is lost; Postfix repeats the question to the other.
                assert [each.ask(instance=instance) for each in daemons] == ["DUNNO"] * 2
        for each in daemons:
            each.wait_for_log("event=store-back")
    assert charged(halted.url) == [2]


@pytest.mark.parametrize(
    "halted", ["postgres", pytest.param("mariadb", marks=pytest.mark.slow)], indirect=True
)
def test_with_defer_a_client_gets_451_in_time_and_can_send_two_seconds_later(
    tmp_path: Path, halted: Halted
) -> None:
    extra = f'{LIMIT}on_store_loss = "defer"\n'
    with (
        socket.create_server(("127.0.0.1", 0), backlog=100) as held,
        running(configure(tmp_path, halted.url, extra), held=held) as daemon,
        dropping_proxy.running(f"inet:127.0.0.1:{held.getsockname()[1]}") as mta,
        mta.session() as session,
    ):
        assert dropping_proxy.send(session) == 354
        opened = descriptors(daemon)
        start = time.monotonic()
        with halted.stopped():
            assert dropping_proxy.send(session) == 451
            assert time.monotonic() - start < 11
        assert eventually(lambda: dropping_proxy.send(session) == 354, 2)
        assert eventually(lambda: descriptors(daemon) <= opened + 2, 2)


def descriptors(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))  # noqa: PTH208 - numbers, not paths


class Middlebox(socketserver.ThreadingTCPServer):
    """Forwards connections to a local port, until it forgets those that are open."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passage)
        self.behind = port
        self.known = threading.Event()  # a new one with each forgetting

    def forget(self) -> None:
        """Pass nothing more on connections that are open: they look alive, and are silent."""
        self.known.set()
        self.known = threading.Event()


class _Passage(socketserver.BaseRequestHandler):
    server: Middlebox

    def handle(self) -> None:
        forgotten, client = self.server.known, self.request
        with socket.create_connection(("127.0.0.1", self.server.behind)) as behind:
            while True:
                for end in select.select([client, behind], [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    if not forgotten.is_set():
                        (behind if end is client else client).sendall(data)


@pytest.mark.parametrize("mode", ["local", "defer"])
def test_a_silent_database_connection_is_aborted(
    tmp_path: Path, server: postgres.Postgres, mode: str
) -> None:
    port = str(server.port)
    with Middlebox(int(port)) as between:
        threading.Thread(target=between.serve_forever, daemon=True).start()
        url = prepared(server.url).replace(port, str(between.server_address[1]))
        extra = f'{LIMIT}on_store_loss = "{mode}"\n'
        with running(configure(tmp_path, url, extra)) as daemon:
            assert daemon.ask(instance="before") == "DUNNO"
            between.forget()
            assert daemon.ask(instance="a") == ("DUNNO" if mode == "local" else "")
            daemon.wait_for_log("event=store-back", 12)
            assert daemon.ask(instance="b") == "DUNNO"
            assert lines(daemon, "store-lost") == 1
            assert charged(server.url) == [3 if mode == "local" else 2]
        between.shutdown()
