"""A real policyd process, and a client that speaks to it as Postfix does."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from store import schema
from store.engine import Store
from tests.policyd.conftest import wire

START_SECONDS = 20
ANSWER_SECONDS = 15
# What systemd does before it starts a service with a socket (sd_listen_fds(3)).
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-I", "-m", "policyd", "--config", sys.argv[2]])
"""


@dataclass(slots=True)
class Daemon:
    """A running policyd."""

    process: "subprocess.Popen[bytes]"
    config: Path
    socket: Path
    log_file: Path

    @property
    def log(self) -> str:
        """Return everything it has logged."""
        return self.log_file.read_text()

    def client(self) -> "Client":
        """Connect."""
        return Client(str(self.socket))

    def ask(self, **attributes: object) -> str:
        """Ask one question on a connection of its own."""
        with self.client() as client:
            return client.ask(**attributes)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def stop(self, seconds: float = 10) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.terminate()
        return self.process.wait(seconds)

    def wait_for_log(self, text: str, seconds: float = 10) -> None:
        """Wait until *text* is in the log."""
        until = time.monotonic() + seconds
        while text not in self.log:
            if time.monotonic() > until:
                raise AssertionError(f"{text!r} not in the log:\n{self.log}")
            time.sleep(0.02)


class Client:
    """One connection to a unix socket path or a TCP port."""

    def __init__(self, where: str | int, *, timeout: float = ANSWER_SECONDS) -> None:
        if isinstance(where, int):
            self.socket = socket.create_connection(("127.0.0.1", where), timeout=timeout)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(where)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def answer(self) -> str:
        """Return the next action, ``""`` when the daemon closed without one."""
        while b"\n\n" not in self._rest:
            try:
                chunk = self.socket.recv(65536)
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                return ""
            self._rest += chunk
        reply, _, self._rest = self._rest.partition(b"\n\n")
        return reply.decode().removeprefix("action=")

    def ask(self, **attributes: object) -> str:
        """Ask one question."""
        self.send(wire(**attributes))
        return self.answer()


def configure(folder: Path, url: str, extra: str = "", policyd: str = "") -> Path:
    """Write gatepost.toml into *folder* and return its path."""
    path = folder / "gatepost.toml"
    path.write_text(
        f"""
[site]
domains = ["mail.example.edu"]
campus_networks = ["192.0.2.0/24", "2001:db8::/32"]
[store]
url = "{url}"
[policyd]
listen = ["unix:{folder}/policy.sock"]
{policyd}
{extra}
"""
    )
    return path


def prepared(url: str) -> str:
    """Make the tables at *url* and return it."""
    store = Store(url)
    schema.upgrade(store)
    store.close()
    return url


@contextlib.contextmanager
def running(
    config: Path,
    *,
    wrapper: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    held: socket.socket | None = None,
    until: str = "event=ready",
) -> Iterator[Daemon]:
    """Start policyd with *config*, yield it when it has logged *until*, kill it at the end.

    It gets the listening socket *held*, as from systemd, if there is one.
    """
    command = [*wrapper, sys.executable, "-I", "-m", "policyd", "--config", str(config)]
    if held is not None:
        command = [sys.executable, "-c", AS_SYSTEMD, str(held.fileno()), str(config)]
    folder = config.parent
    log_file = folder / f"policyd-{time.monotonic_ns()}.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command,
            stderr=log,
            pass_fds=[] if held is None else [held.fileno()],
            env={**os.environ, **(environment or {})},
        )
    daemon = Daemon(process, config, folder / "policy.sock", log_file)
    try:
        daemon.wait_for_log(until, START_SECONDS)
        yield daemon
    finally:
        process.kill()
        process.wait()
