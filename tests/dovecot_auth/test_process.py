"""authd as a process: signals, sockets, and the limits of a connection."""

import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from dovecot_auth.connections import MAX_CONNECTIONS
from store.logins import password_hashes
from store.people import accounts
from tests.dovecot_auth.site import ALICE, CHANGE, Site, connected, new_site, until
from tests.stack import unix_http

pytestmark = pytest.mark.integration  # a process for each test: seconds


def test_sigterm_answers_logins_in_progress_and_exits_0(empty_site: Site) -> None:
    slow = password_hashes.hash_password("slow")
    accounts.set_password(
        empty_site.store, empty_site.settings, "bob", slow, how="reset", change=CHANGE
    )
    with empty_site.running() as authd, ThreadPoolExecutor(20) as pool:
        idle = connected(empty_site.socket)
        asked = [
            pool.submit(empty_site.ask, "/verify", user="bob", password="slow") for _ in range(20)
        ]
        until(lambda: "login-allowed" in (empty_site.root / "authd.log").read_text())
        authd.signal(signal.SIGTERM)
        answers = [each.result()[0] for each in asked if not each.exception()]
        assert answers.count(200) == len(answers) > 0
        assert authd.stop() == 0
        assert idle.recv(1) == b""
        idle.close()


def test_sighup_reads_the_settings_again_but_keeps_the_old_over_bad_ones(
    empty_site: Site,
) -> None:
    log = empty_site.root / "authd.log"
    with empty_site.running() as authd:
        good = empty_site.config.read_text()
        empty_site.config.write_text(good + "[nonsense]\n")
        authd.signal(signal.SIGHUP)
        assert until(lambda: "event=reload-failed" in log.read_text())
        assert empty_site.ask("/verify", **ALICE)[0] == 200
        empty_site.config.write_text(good + '[roles.student]\nmailbox = "7M"\n')
        authd.signal(signal.SIGHUP)
        assert until(
            lambda: empty_site.ask("/user", user="alice")[1]["quota"] == str(7 * 1024 * 1024)
        )


def test_a_stale_socket_is_replaced_and_bad_settings_exit_78(empty_site: Site) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(empty_site.socket))
    with empty_site.running():
        assert empty_site.ask("/user", user="alice")[0] == 200
    bad = empty_site.root / "bad.toml"
    bad.write_text("[site]\n")
    done = subprocess.run(
        [sys.executable, "-I", "-m", "dovecot_auth", "--config", str(bad)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 78
    assert "site.domains" in done.stderr


def test_an_unfinished_request_is_disconnected_and_holds_up_no_other(empty_site: Site) -> None:
    with empty_site.running():
        slow = [connected(empty_site.socket) for _ in range(50)]
        for each in slow:
            each.sendall(b"POST /verify HTTP/1.1\r\n")
        assert empty_site.ask("/verify", **ALICE)[0] == 200
        began = time.monotonic()
        assert slow[-1].recv(1) == b""
        assert time.monotonic() - began < 8
        for each in slow:
            each.close()


def test_connections_beyond_the_cap_are_closed_at_once(empty_site: Site) -> None:
    first = f"unix:{empty_site.socket}"
    other = empty_site.root / "other.sock"
    text = empty_site.config.read_text()
    empty_site.config.write_text(text.replace(f'"{first}"', f'"{first}", "unix:{other}"'))
    with empty_site.running():
        with ExitStack() as held:
            for _ in range(MAX_CONNECTIONS):
                held.enter_context(connected(empty_site.socket))
            assert held.enter_context(connected(empty_site.socket)).recv(1) == b""
            assert unix_http.post(other, "/verify", **ALICE)[0] == 200
        assert until(lambda: _answers(empty_site))


def _answers(site: Site) -> bool:
    try:
        return site.ask("/user", user="alice")[0] == 200
    except OSError:
        return False


def test_sockets_from_systemd_are_used(empty_site: Site) -> None:
    path = Path(f"{empty_site.root}/activated.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        command = (
            f'import os; os.dup2({listener.fileno()}, 3); os.environ["LISTEN_PID"] = '
            f'str(os.getpid()); os.environ["LISTEN_FDS"] = "1"; os.execv({sys.executable!r}, '
            f'[{sys.executable!r}, "-I", "-m", "dovecot_auth", "--config", '
            f"{str(empty_site.config)!r}])"
        )
        authd = subprocess.Popen(
            [sys.executable, "-c", command],
            pass_fds=(listener.fileno(),),
            stderr=subprocess.DEVNULL,
        )
    with connected(path) as channel:
        channel.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert channel.recv(65536).startswith(b"HTTP/1.1 200")
    authd.terminate()
    assert authd.wait(20) == 0


def test_a_new_site_has_no_accounts() -> None:
    with new_site() as site, site.running():
        assert site.ask("/user", user="alice")[0] == 404
