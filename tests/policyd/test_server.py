"""The daemon as Postfix sees it: a real process, real sockets, a real store."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.daemon.listen import open_listeners
from config.units import Address
from policyd.server import LINGER_SECONDS
from store.engine import Store
from store.limits import whitelist
from tests.conftest import CHANGE
from tests.policyd.conftest import wire
from tests.policyd.daemon import AS_SYSTEMD, Client, Daemon, configure, prepared, running
from tests.stack.ports import free_port

pytestmark = pytest.mark.integration  # seconds each: every test starts a process


@pytest.fixture
def url(tmp_path: Path) -> str:
    return prepared(f"sqlite:///{tmp_path}/gatepost.db")


@pytest.fixture
def daemon(tmp_path: Path, url: str) -> Iterator[Daemon]:
    with running(configure(tmp_path, url, '[limits]\nclient = ["10/1h"]\n')) as started:
        yield started


def test_a_refusal_at_the_limit_is_sent_and_logged(daemon: Daemon) -> None:
    with daemon.client() as client:
        assert client.ask(instance="a", recipient_count=10) == "DUNNO"
        refusal = client.ask(instance="b")
    assert refusal.startswith(
        "450 4.7.1 Limit of 10 recipients per hour for 192.0.2.7 reached (10 used). Try again at "
    )
    daemon.wait_for_log("reason=over-limit")
    assert (
        "INFO policyd: 4ABCDEF123 state=DATA client=192.0.2.7 recipients=10 verdict=DUNNO "
        'count=10/10 limit="client 192.0.2.7" reason=limit\n' in daemon.log
    )


def test_fifty_clients_at_once_get_exactly_the_limit(daemon: Daemon) -> None:
    def five(number: int) -> int:
        with daemon.client() as client:
            return sum(client.ask(instance=f"{number}.{n}") == "DUNNO" for n in range(5))

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(five, range(50))) == 10


def test_pipelined_questions_are_answered_in_their_order(daemon: Daemon) -> None:
    with daemon.client() as client:
        client.send(
            b"".join(
                wire(instance=n) if n % 2 else wire(protocol_state="RCPT", size=0)
                for n in range(1000)
            )
        )
        answers = [client.answer() for _ in range(1000)]
    assert {answers[n] for n in range(0, 1000, 2)} == {"DUNNO"}
    assert [answer == "DUNNO" for answer in answers[1::2]] == [n < 10 for n in range(500)]


def test_a_repeat_after_a_restart_is_charged_once(daemon: Daemon, tmp_path: Path) -> None:
    assert daemon.ask(instance="a", recipient_count=10) == "DUNNO"
    daemon.process.kill()
    daemon.process.wait()
    with running(tmp_path / "gatepost.toml") as second:
        assert second.ask(instance="a", recipient_count=10) == "DUNNO"
        assert second.ask(instance="b").startswith("450 ")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n\n\n",
        b"x\0\n\n",
        b"\n\n",
        b"x" * 20000,
        wire().strip() + b"\nsasl_username=bob\n\n",  # a name twice
    ],
    ids=["http", "nul", "empty", "endless", "twice"],
)
def test_nonsense_closes_only_its_own_connection_without_a_reply(
    daemon: Daemon, data: bytes
) -> None:
    with daemon.client() as good, daemon.client() as bad:
        bad.send(data)
        assert bad.answer() == ""
        assert good.ask(protocol_state="RCPT") == "DUNNO"


def test_an_endless_request_is_cut_and_an_idle_connection_kept(daemon: Daemon) -> None:
    with daemon.client() as idle, daemon.client() as slow:
        start = time.monotonic()
        slow.send(b"request=smtpd")
        assert slow.answer() == ""
        assert 4.5 < time.monotonic() - start < 7
        assert idle.ask() == "DUNNO"
    assert "event=deadline" in daemon.log


def test_a_new_exemption_holds_within_two_seconds_and_ends_on_time(
    daemon: Daemon, url: str
) -> None:
    assert daemon.ask(instance="a", recipient_count=10) == "DUNNO"
    assert daemon.ask(instance="b").startswith("450 ")
    store = Store(url)
    entry = whitelist.add(store, "192.0.2.7", seconds=4, change=CHANGE)
    store.close()
    added = time.time()
    while daemon.ask(instance=f"c{time.monotonic_ns()}") != "DUNNO":
        assert time.time() - added < 2
        time.sleep(0.05)
    assert entry.expires_at is not None
    time.sleep(max(0.0, entry.expires_at - time.time()))
    assert daemon.ask(instance="d").startswith("450 ")


def test_sigterm_answers_open_requests_and_exits_0(daemon: Daemon) -> None:
    with daemon.client() as client:
        client.send(b"".join(wire(instance=n) for n in range(200)))
        start = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - start < 5
        assert all(client.answer() for _ in range(200))
        assert client.answer() == ""


def test_sighup_applies_new_limits_and_a_broken_file_changes_nothing(daemon: Daemon) -> None:
    with daemon.client() as client:
        assert client.ask(instance="a", recipient_count=10) == "DUNNO"
        good = daemon.config.read_text()
        daemon.config.write_text(good.replace("10/1h", "a lot"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("event=reload-failed")
        assert client.ask(instance="b").startswith("450 ")
        assert daemon.log.count("ERROR") == 1
        daemon.config.write_text(good.replace("10/1h", "20/1h"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("event=reloaded")
        assert client.ask(instance="c", recipient_count=10) == "DUNNO"


def test_observe_mode_refuses_nothing_and_logs_what_it_would_refuse(daemon: Daemon) -> None:
    text = daemon.config.read_text()
    daemon.config.write_text(text.replace("[limits]", '[limits]\nmode = "observe"'))
    daemon.signal(signal.SIGHUP)
    daemon.wait_for_log("event=reloaded")
    assert daemon.ask(instance="a", recipient_count=10) == "DUNNO"
    assert daemon.ask(instance="b") == "DUNNO"
    daemon.wait_for_log("reason=would-refuse")


def test_the_unix_socket_is_for_its_group_only(daemon: Daemon) -> None:
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o660


def test_a_dead_socket_is_replaced_and_a_live_one_left(tmp_path: Path) -> None:
    address = Address("unix", path=str(tmp_path / "policy.sock"))
    (live,) = open_listeners([address])
    with pytest.raises(SystemExit, match=str(os.EX_UNAVAILABLE)):
        open_listeners([address])
    live.close()
    (again,) = open_listeners([address])
    again.close()


def test_tcp_is_served_too(tmp_path: Path, url: str) -> None:
    port = free_port()
    config = configure(tmp_path, url)
    text = config.read_text().replace(f"unix:{tmp_path}/policy.sock", f"inet:127.0.0.1:{port}")
    config.write_text(text)
    with running(config), Client(port) as client:
        assert client.ask() == "DUNNO"


def test_policyd_serves_a_socket_of_systemd_and_notifies_it(tmp_path: Path, url: str) -> None:
    config = configure(tmp_path, url)
    with (
        socket.socket(socket.AF_UNIX) as held,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        held.bind(str(tmp_path / "held.sock"))
        held.listen()
        manager.bind(str(tmp_path / "notify.sock"))
        manager.settimeout(20)
        process = subprocess.Popen(
            [sys.executable, "-c", AS_SYSTEMD, str(held.fileno()), config],
            pass_fds=[held.fileno()],
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify.sock")},
        )
        try:
            assert manager.recv(100) == b"READY=1"
            with Client(str(tmp_path / "held.sock")) as client:
                assert client.ask() == "DUNNO"
                process.terminate()
                assert manager.recv(100) == b"STOPPING=1"
                signalled = time.monotonic()
                process.wait(10)
                assert time.monotonic() - signalled > LINGER_SECONDS  # said before, not after
        finally:
            process.terminate()
            assert process.wait(10) == 0


def test_the_log_names_the_listeners_and_warns_of_ignored_addresses(
    tmp_path: Path, url: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        here = f"inet:127.0.0.1:{held.getsockname()[1]}"
        with running(configure(tmp_path, url), held=held) as daemon:
            asked = f"unix:{tmp_path}/policy.sock"
            assert f"event=listen-ignored asked={asked} " in daemon.log
            assert f"event=ready listen={here}\n" in daemon.log


@contextlib.contextmanager
def starting(tmp_path: Path) -> Iterator[tuple[Daemon, contextlib.ExitStack]]:
    """Start policyd with a store that accepts connections and is silent until closed."""
    with contextlib.ExitStack() as store:
        mute = store.enter_context(socket.create_server(("127.0.0.1", 0)))
        mute.settimeout(20)
        url = f"postgresql://gatepost@127.0.0.1:{mute.getsockname()[1]}/gatepost"
        with running(configure(tmp_path, url), until="") as daemon:
            store.enter_context(mute.accept()[0])
            assert daemon.log == ""
            yield daemon, store


def test_a_reload_during_the_start_is_done_once_policyd_is_ready(tmp_path: Path) -> None:
    with starting(tmp_path) as (daemon, store):
        daemon.signal(signal.SIGHUP)
        store.close()
        daemon.wait_for_log("event=reloaded")
        events = ("event=accounts-unknown", "event=ready", "event=reloaded")
        positions = [daemon.log.index(event) for event in events]
        assert positions == sorted(positions)


def test_a_stop_during_the_start_is_exit_0(tmp_path: Path) -> None:
    with starting(tmp_path) as (daemon, store):
        daemon.signal(signal.SIGTERM)
        store.close()
        assert daemon.process.wait(10) == 0


def test_a_retired_key_is_a_warning_at_the_start_and_at_a_reload(tmp_path: Path, url: str) -> None:
    with running(configure(tmp_path, url, policyd="workers = 2")) as daemon:
        assert daemon.log.startswith("WARNING policyd: event=setting-ignored key=policyd.workers ")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("event=reloaded")
        assert daemon.log.count("event=setting-ignored") == 2


def test_a_bad_configuration_is_exit_78(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[site]\n")
    done = subprocess.run(
        [sys.executable, "-I", "-m", "policyd", "--config", tmp_path / "bad.toml"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 78
    assert b"site.domains" in done.stderr
