"""`gatepost serve`: real services under the real supervisor."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli_commands.conftest import TOML, Run
from tests.stack.ports import free_port

pytestmark = pytest.mark.integration
GATEPOST = str(Path(sys.executable).with_name("gatepost"))
SECONDS = 20


@pytest.fixture
def port(folder: Path) -> int:
    """Return the port of policyd in a configuration whose services are all private."""
    made = free_port()
    (folder / "gatepost.toml").write_text(
        TOML.format(folder=folder)
        + f'[policyd]\nlisten = ["inet:127.0.0.1:{made}"]\n'
        + f'[auth]\nlisten = ["unix:{folder}/auth.sock"]\n'
        + f'[milter]\nlisten = "unix:{folder}/milter.sock"\n[spam]\nspamd = ""\n'
    )
    return made


# What systemd does for a service with a socket unit (sd_listen_fds(3)).
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=sys.argv[2] or str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[3], sys.argv[3:])
"""


@contextmanager
def serving(
    folder: Path, *services: str, held: socket.socket | None = None, owner: str = ""
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ``gatepost serve``, its log in *folder*; kill what is left at the end.

    It gets the listening socket *held*, meant for the process *owner* (its own, if empty).
    """
    command = [GATEPOST, "--config", str(folder / "gatepost.toml"), "serve", *services]
    if held is not None:
        command = [sys.executable, "-c", AS_SYSTEMD, str(held.fileno()), owner, *command]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
            pass_fds=[] if held is None else [held.fileno()],
        )
    try:
        yield process
    finally:
        subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False)
        process.wait(SECONDS)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)


def says_dunno(port: int) -> bool:
    request = b"request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=a@b.test\n\n"
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as client:
            client.sendall(request)
            return client.recv(100) == b"action=DUNNO\n\n"
    except OSError:
        return False


def child(process: "subprocess.Popen[bytes]", module: str) -> str:
    found = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "--", f"-m {module} "],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    return found.stdout.strip()


def test_all_services_start_and_stop_with_the_supervisor(run: Run, folder: Path, port: int) -> None:
    assert run("config", "check").code == 0
    with serving(folder) as process:
        until(lambda: says_dunno(port))
        until(lambda: (folder / "auth.sock").exists() and (folder / "milter.sock").exists())
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    assert not says_dunno(port)


def test_the_supervisor_is_ready_when_its_services_are(
    run: Run, folder: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("db", "upgrade").code == 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        with serving(folder):
            assert manager.recv(100) == b"READY=1"
            assert says_dunno(port)
            assert (folder / "auth.sock").exists()
            assert (folder / "milter.sock").exists()


@pytest.mark.usefixtures("run", "port")
def test_a_crashing_service_is_restarted_within_a_second(folder: Path) -> None:
    log = folder / "log"

    def started() -> list[int]:
        lines = [line for line in log.read_text().splitlines() if "event=service-started" in line]
        return [int(line.rpartition("pid=")[2]) for line in lines]

    def until_started(times: int) -> None:
        until(lambda: len(started()) == times)

    with serving(folder, "milter"):
        for number in range(1, 6):
            until_started(number)
            ended = time.monotonic()
            os.kill(started()[-1], signal.SIGSEGV)
            until_started(number + 1)
            # Doubling would make it 8 s; a busy machine adds to the half.
            assert time.monotonic() - ended < 2


def test_a_service_that_dies_is_restarted(run: Run, folder: Path, port: int) -> None:
    assert run("config", "check").code == 0
    with serving(folder, "policyd") as process:
        until(lambda: says_dunno(port))
        first = child(process, "policyd")
        subprocess.run(["kill", "-KILL", first], check=True)
        until(lambda: child(process, "policyd") not in {"", first} and says_dunno(port))
        assert "event=service-ended service=policyd code=-9" in (folder / "log").read_text()


@pytest.mark.parametrize("services", [("policyd",), ()], ids=["alone", "all"])
def test_systemd_sockets_survive_a_restart_of_the_service(
    run: Run, folder: Path, port: int, services: tuple[str, ...]
) -> None:
    assert run("db", "upgrade").code == 0
    with socket.create_server(("127.0.0.1", 0)) as held:
        handed = held.getsockname()[1]
        with serving(folder, *services, held=held) as process:
            until(lambda: says_dunno(handed))
            first = child(process, "policyd")
            subprocess.run(["kill", "-KILL", first], check=True)
            until(lambda: child(process, "policyd") not in {"", first} and says_dunno(handed))
            assert not says_dunno(port)  # which stands in the settings, as policyd says


@pytest.mark.parametrize(
    ("service", "owner", "reason"),
    [("milter", "", "only policyd and authd take them"), ("policyd", "1", "LISTEN_PID=1 is not")],
)
def test_sockets_without_a_service_are_reported(
    run: Run, folder: Path, port: int, *, service: str, owner: str, reason: str
) -> None:
    assert run("db", "upgrade").code == 0
    with (
        socket.create_server(("127.0.0.1", 0)) as held,
        serving(folder, service, held=held, owner=owner),
    ):
        until(lambda: "event=sockets-ignored" in (folder / "log").read_text())
        assert reason in (folder / "log").read_text()
        until(lambda: (folder / "milter.sock").exists() or says_dunno(port))


def test_a_broken_configuration_starts_no_service(folder: Path) -> None:
    (folder / "gatepost.toml").write_text("[site]\n")
    with serving(folder) as process:
        assert process.wait(SECONDS) == 78


def test_a_missing_schema_names_the_command_to_run(folder: Path, port: int) -> None:
    with serving(folder) as process:
        until(lambda: says_dunno(port) and (folder / "milter.sock").exists())
        until((folder / "auth.sock").exists)
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)
    log = (folder / "log").read_text()
    for service in ("policyd", "milter", "authd"):
        (line,) = [each for each in log.splitlines() if f"ERROR {service}: event=store-u" in each]
        assert "gatepost db upgrade" in line


def test_services_do_not_outlive_a_supervisor_that_is_killed(
    run: Run, folder: Path, port: int
) -> None:
    assert run("config", "check").code == 0
    with serving(folder, "policyd") as process:
        until(lambda: says_dunno(port))
        process.kill()
        until(lambda: not says_dunno(port))


@pytest.mark.parametrize("module", ["policyd", "dovecot_auth", "milters"])
def test_a_service_that_cannot_listen_exits_with_69(run: Run, folder: Path, module: str) -> None:
    section = {"dovecot_auth": "auth", "milters": "milter"}.get(module, module)
    where = f"unix:{folder}/none/x.sock"
    toml = folder / "gatepost.toml"
    listen = f'"{where}"' if section == "milter" else f'["{where}"]'
    toml.write_text(TOML.format(folder=folder) + f"[{section}]\nlisten = {listen}\n")
    assert run("config", "check").code == 0
    done = subprocess.run(
        [sys.executable, "-I", "-m", module, "--config", str(toml)],
        check=False, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 69
    assert "Traceback" not in done.stderr
    lines = [each for each in done.stderr.splitlines() if "event=cannot-listen" in each]
    assert len(lines) == 1
    assert f"address={where}" in lines[0]


def test_a_taken_port_is_reported(run: Run, folder: Path) -> None:
    toml = folder / "gatepost.toml"
    with socket.create_server(("127.0.0.1", 0)) as other:
        where = f"inet:127.0.0.1:{other.getsockname()[1]}"
        toml.write_text(TOML.format(folder=folder) + f'[policyd]\nlisten = ["{where}"]\n')
        assert run("config", "check").code == 0
        done = subprocess.run(
            [sys.executable, "-I", "-m", "policyd", "--config", str(toml)],
            check=False, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
    assert done.returncode == 69
    assert f'address={where} reason="Address already in use"' in done.stderr
    assert "Traceback" not in done.stderr
