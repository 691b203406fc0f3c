"""Checks 1, 2 and 7: exact counts despite kills, lost replies and races (through real Postfix)."""

import contextlib
import random
import smtplib
import socket
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from store.engine import Store
from store.limits.report import report
from tests.policyd import dropping_proxy
from tests.policyd.daemon import Daemon, configure, prepared, running
from tests.policyd.dropping_proxy import send
from tests.stack.ports import free_port

pytestmark = pytest.mark.integration
SESSIONS = 20
LIMIT = '[limits]\nclient = ["100/1h"]\n'
OPEN = '[limits]\nclient = ["900000000/1h"]\n'


def counted(url: str) -> int:
    store = Store(url)
    try:
        return sum(used.used for used in report(store))
    finally:
        store.close()


class Supervised:
    """A policyd that is killed and started again by one who holds its socket, as systemd."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = int(self._socket.getsockname()[1])
        self._stack = contextlib.ExitStack()
        self._start()

    def kill(self) -> None:
        """Kill it; start the next one half a second later."""
        self._stack.close()
        time.sleep(0.5)
        self._start()

    def _start(self) -> None:
        self._stack.enter_context(running(self._config, held=self._socket))

    def close(self) -> None:
        """Kill it for good."""
        self._stack.close()
        self._socket.close()


def _load(port: int, stop: threading.Event, codes: "Counter[int]") -> None:
    mine: Counter[int] = Counter()
    with smtplib.SMTP("127.0.0.1", port, local_hostname="lab7.example.edu", timeout=60) as session:
        while not stop.is_set():
            mine[send(session)] += 1
    codes.update(mine)


def kill_under_load(tmp_path: Path, kills: int) -> None:
    url = prepared(f"sqlite:///{tmp_path}/gatepost.db")
    supervised = Supervised(configure(tmp_path, url, OPEN))
    codes: Counter[int] = Counter()
    stop = threading.Event()
    chance = random.Random(7)  # noqa: S311 - when to kill, not whom
    try:
        with dropping_proxy.running(f"inet:127.0.0.1:{supervised.port}") as mta:
            loads = [
                threading.Thread(target=_load, args=(mta.port, stop, codes), daemon=True)
                for _ in range(SESSIONS)
            ]
            for load in loads:
                load.start()
            for _ in range(kills):
                time.sleep(chance.uniform(0.05, 1.0))
                supervised.kill()
            time.sleep(0.5)
            stop.set()
            for load in loads:
                load.join(timeout=60)
    finally:
        stop.set()
        supervised.close()
    accepted, charged = codes[354], counted(url)
    assert set(codes) <= {354, 450, 451}, codes
    assert accepted > 0
    assert accepted <= charged <= accepted + kills, (codes, charged)
    # The only messages charged and not sent are those whose two questions both died.
    assert charged <= accepted + codes[451], (codes, charged)


@pytest.mark.timeout(180)
def test_ten_kills_under_load_lose_no_count_and_add_none(tmp_path: Path) -> None:
    kill_under_load(tmp_path, 10)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_kills_under_load_lose_no_count(tmp_path: Path) -> None:
    kill_under_load(tmp_path, 200)


class _Forgetful(socketserver.StreamRequestHandler):
    """Passes questions on; loses the answer to the first DATA question and hangs up."""

    def handle(self) -> None:
        proxy = self.server
        assert isinstance(proxy, Proxy)
        with socket.create_connection(("127.0.0.1", proxy.behind)) as behind:
            answers = behind.makefile("rb")
            while True:
                question = b""
                while not question.endswith(b"\n\n"):
                    line = self.rfile.readline()
                    if not line:
                        return
                    question += line
                behind.sendall(question)
                answer = answers.readline() + answers.readline()
                if b"protocol_state=DATA\n" in question:
                    proxy.asked += 1
                    if proxy.asked == 1:
                        return  # decided and committed, but never answered
                self.wfile.write(answer)


class Proxy(socketserver.ThreadingTCPServer):
    """Stands between Postfix and policyd."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, behind: int) -> None:
        super().__init__(("127.0.0.1", 0), _Forgetful)
        self.behind = behind
        self.asked = 0


@contextlib.contextmanager
def proxied(behind: int) -> Iterator[Proxy]:
    with Proxy(behind) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


def test_a_request_with_a_lost_reply_is_charged_once_and_the_mail_goes_out(tmp_path: Path) -> None:
    url = prepared(f"sqlite:///{tmp_path}/gatepost.db")
    port = free_port()
    config = configure(tmp_path, url, '[limits]\nclient = ["3/1h"]\n')
    config.write_text(
        config.read_text().replace(f"unix:{tmp_path}/policy.sock", f"inet:127.0.0.1:{port}")
    )
    with (
        running(config),
        proxied(port) as proxy,
        dropping_proxy.running(f"inet:127.0.0.1:{proxy.server_address[1]}") as mta,
        mta.session() as session,
    ):
        start = time.monotonic()
        assert send(session, recipients=3) == 354
        assert 0.9 < time.monotonic() - start < 5  # Postfix waits 1 s before it repeats
        assert proxy.asked == 2
        assert counted(url) == 3
        assert send(session) == 450


def test_reports_of_this_machine_are_not_charged_but_clients_are(tmp_path: Path) -> None:
    url = prepared(f"sqlite:///{tmp_path}/gatepost.db")
    with (
        socket.create_server(("127.0.0.1", 0), backlog=100) as held,
        running(configure(tmp_path, url, '[limits]\nclient = ["3/1h"]\n'), held=held) as daemon,
        dropping_proxy.running(f"inet:127.0.0.1:{held.getsockname()[1]}") as mta,
        mta.session() as session,
    ):
        assert [send(session, 3, sender="") for _ in range(2)] == [354, 354]
        assert counted(url) == 0
        assert [send(session, 3) for _ in range(2)] == [354, 450]
        assert daemon.log.count("reason=null-sender") == 2
        # Not even a null sender frees a computer of the campus.
        session.docmd("XCLIENT ADDR=192.0.2.7")
        session.docmd("EHLO lab7.example.edu")
        assert [send(session, 3, sender="") for _ in range(2)] == [354, 450]


def _race(where: Path, number: int) -> int:
    """Ask five times; return how often it was accepted."""
    accepted = 0
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(where))
        for turn in range(5):
            question = (
                "request=smtpd_access_policy\nprotocol_state=DATA\nclient_address=192.0.2.7\nsender=a@b.example\n"
                f"recipient_count=1\ninstance=race.{number}.{turn}\n\n"
            )
            connection.sendall(question.encode())
            accepted += connection.recv(1000) == b"action=DUNNO\n\n"
    return accepted


@pytest.fixture
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return prepared(f"sqlite:///{tmp_path}/gatepost.db")
    server = request.getfixturevalue(request.param)
    return prepared(str(server.fresh_database(f"race{time.monotonic_ns()}")))


@pytest.mark.parametrize(
    "shared_url", ["sqlite", "postgres_server", "mariadb_server"], indirect=True
)
def test_fifty_clients_on_two_daemons_get_exactly_the_limit(
    tmp_path: Path, shared_url: str
) -> None:
    daemons = []
    with contextlib.ExitStack() as stack:
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            daemons.append(stack.enter_context(running(configure(folder, shared_url, LIMIT))))
        _race_all(daemons, [daemon.socket for daemon in daemons])
    assert counted(shared_url) == 100


@pytest.mark.parametrize("shared_url", ["postgres_server", "mariadb_server"], indirect=True)
def test_two_instances_on_one_socket_get_exactly_the_limit(tmp_path: Path, shared_url: str) -> None:
    config = configure(tmp_path, shared_url, LIMIT)
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(socket.socket(socket.AF_UNIX))
        held.bind(str(tmp_path / "policy.sock"))
        held.listen(100)
        daemons = [stack.enter_context(running(config, held=held)) for _ in range(2)]
        _race_all(daemons, [tmp_path / "policy.sock"])
        for daemon in daemons:
            assert "reason=limit" in daemon.log
    assert counted(shared_url) == 100


def _race_all(daemons: list[Daemon], sockets: list[Path]) -> None:
    """Send 250 recipients over *sockets*; assert that *daemons* accept 100 and end well."""
    with ThreadPoolExecutor(50) as pool:
        accepted = pool.map(lambda n: _race(sockets[n % len(sockets)], n), range(50))
        assert sum(accepted) == 100
    for daemon in daemons:
        assert "event=store-lost" not in daemon.log
        assert daemon.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "shared_url", ["sqlite", "postgres_server", "mariadb_server"], indirect=True
)
def test_fifty_smtp_sessions_on_two_mail_servers_get_exactly_the_limit(
    tmp_path: Path, shared_url: str
) -> None:
    ports = []
    with contextlib.ExitStack() as stack:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            config = configure(tmp_path / name, shared_url, LIMIT)
            held = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
            stack.enter_context(running(config, held=held))
            mta = dropping_proxy.running(f"inet:127.0.0.1:{held.getsockname()[1]}")
            ports.append(stack.enter_context(mta).port)

        def five(number: int) -> int:
            with smtplib.SMTP("127.0.0.1", ports[number % 2], timeout=60) as session:
                session.ehlo("lab7.example.edu")
                return [send(session) for _ in range(5)].count(354)

        pool = stack.enter_context(ThreadPoolExecutor(50))
        assert sum(pool.map(five, range(50))) == 100
    assert counted(shared_url) == 100
