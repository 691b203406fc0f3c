"""authd answers Dovecot's user and root; any other process of the machine learns nothing."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from dovecot_auth.connections import MAX_CONNECTIONS, MAX_STRANGERS
from tests.dovecot_auth.conftest import with_accounts
from tests.dovecot_auth.site import ALICE, Site, connected, new_site, until
from tests.stack.process import Process

pytestmark = pytest.mark.integration  # needs root: sends requests as several users

ASK = """
import socket, sys
channel = socket.socket(socket.AF_UNIX)
channel.connect(sys.argv[1])
path, body = sys.argv[2:]
head = f"POST {path} HTTP/1.0\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
channel.sendall((head + body).encode())
while got := channel.recv(4096):
    sys.stdout.write(got.decode())
"""
HOLD = """
import socket, sys
held = []
for _ in range(int(sys.argv[2])):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].connect(sys.argv[1])
print("holding", flush=True)
sys.stdin.read()
"""


@contextmanager
def open_to_all(site: Site) -> Iterator[Process]:
    """Run authd on a socket that any user can connect to, so that only SO_PEERCRED protects it."""
    with site.running() as authd:
        site.socket.chmod(0o666)
        yield authd


def asked_by(user: str, socket_path: Path, path: str, body: str) -> str:
    """Return the whole answer that a process of *user* gets."""
    command = ["/usr/bin/python3", "-I", "-c", ASK, str(socket_path), path, body]
    done = subprocess.run(
        command, user=user, group=user if user != "nobody" else "nogroup", extra_groups=[],
        capture_output=True, text=True, check=True, timeout=30, cwd="/",
    )  # fmt: skip
    return done.stdout


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with new_site() as site, open_to_all(with_accounts(site)):
        yield site


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/user", "user=alice"),
        ("/user", "user=nobody"),
        ("/verify", "user=alice&password=wrong&remote=192.0.2.7"),
        ("/verify", "user=alice&password=alice's password&remote=192.0.2.7"),
        ("/health", ""),
        ("nonsense", ""),
    ],
)
def test_an_unrelated_process_learns_nothing(site: Site, path: str, body: str) -> None:
    answer = asked_by("nobody", site.socket, path, body)
    assert answer.startswith("HTTP/1.1 403 Forbidden")
    assert answer.endswith("\n\nreason=this user is not in auth.callers\n\n")


@pytest.mark.parametrize("user", ["dovecot", "root"])
def test_dovecot_and_root_are_answered(site: Site, user: str) -> None:
    assert asked_by(user, site.socket, "/user", "user=alice").startswith("HTTP/1.1 200")
    assert asked_by(user, site.socket, "/user", "user=nobody").startswith("HTTP/1.1 404")
    password = "user=alice&password=alice%27s+password"
    assert asked_by(user, site.socket, "/verify", password).startswith("HTTP/1.1 200")


def test_a_refused_user_is_logged_once_and_counted(empty_site: Site) -> None:
    with open_to_all(empty_site):
        for _ in range(3):
            asked_by("nobody", empty_site.socket, "/user", "user=alice")
    log = (empty_site.root / "authd.log").read_text()
    assert log.count("caller-refused uid=65534 user=nobody") == 1
    assert "event=callers-refused connections=3" in log


def test_a_guess_with_a_forged_address_is_not_charged(empty_site: Site) -> None:
    with open_to_all(empty_site):
        for number in range(60):
            body = f"user=alice&password=guess{number}&remote=192.0.2.7"
            assert " 403 " in asked_by("nobody", empty_site.socket, "/verify", body)
        assert empty_site.ask("/verify", **ALICE)[0] == 200


def test_connections_held_by_strangers_leave_room_for_dovecot(empty_site: Site) -> None:
    command = ["/usr/bin/python3", "-I", "-c", HOLD, str(empty_site.socket)]
    with open_to_all(empty_site), ExitStack() as held:
        stranger = held.enter_context(
            subprocess.Popen(
                [*command, str(MAX_STRANGERS * 4)], user="nobody", group="nogroup",
                extra_groups=[], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/",
            )
        )  # fmt: skip
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == b"holding\n"
        admitted: list[socket.socket] = [
            held.enter_context(connected(empty_site.socket)) for _ in range(MAX_CONNECTIONS - 1)
        ]
        assert len(admitted) == MAX_CONNECTIONS - 1
        assert empty_site.ask("/user", user="alice")[0] == 200
        stranger.stdin.close()  # type: ignore[union-attr]


def test_a_reload_changes_the_admitted_users(empty_site: Site) -> None:
    site = empty_site
    with open_to_all(site) as authd:
        text = site.config.read_text()
        site.config.write_text(text + f"callers = {json.dumps(['nobody', '4711', 'no-such'])}\n")
        authd.signal(signal.SIGHUP)
        log = site.root / "authd.log"
        assert until(lambda: "event=reloaded" in log.read_text())
        assert " 200 " in asked_by("nobody", site.socket, "/user", "user=alice")
        assert " 403 " in asked_by("dovecot", site.socket, "/user", "user=alice")
        assert "event=no-such-user user=no-such" in log.read_text()
