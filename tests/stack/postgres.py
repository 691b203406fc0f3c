"""A private PostgreSQL: own data, own port on loopback, gone at the end."""

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.stack.folder import create
from tests.stack.ports import free_port

INSTALL = "apt-get install --no-install-recommends postgresql"
START_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server; *url* is what gatepost.toml takes."""

    url: str
    folder: Path

    def control(self, *words: str) -> None:
        """Run pg_ctl, such as ``control("restart", "-m", "immediate")``."""
        run_as_owner(
            [str(programs() / "pg_ctl"), "-D", str(self.folder / "data"), "-w", *words],
            stdout=subprocess.DEVNULL,
        )

    def fresh_database(self, name: str) -> str:
        """Make an empty database and return its URL."""
        base, _, _ = self.url.rpartition("/")
        host = str(self.folder)
        run_as_owner([str(programs() / "createdb"), "-h", host, "-p", self.port, name])
        return f"{base}/{name}"

    @property
    def port(self) -> str:
        """Return the TCP port as text."""
        return self.url.rpartition("/")[0].rpartition(":")[2]


def programs() -> Path:
    """Return the folder of the newest server programs; fail with the install command."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise RuntimeError(f"PostgreSQL's server is not installed: {INSTALL}")
    return found[-1].parent


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """Start a server as user postgres (it refuses root), yield it, remove it."""
    folder = create("gatepost-postgres-")
    owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    if owner:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    port = free_port()
    data = folder / "data"
    server = Postgres(f"postgresql://postgres@127.0.0.1:{port}/postgres", folder)
    try:
        run_as_owner(
            [str(programs() / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-N",
             "--locale=C.UTF-8"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
        )
        server.control("-l", str(folder / "log"), "-o", options, "start")
        yield server
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            server.control("stop", "-m", "immediate")
        shutil.rmtree(folder, ignore_errors=True)


def run_as_owner(command: list[str], *, stdout: int | None = None) -> None:
    """Run *command* as postgres when we are root."""
    user = "postgres" if os.geteuid() == 0 else None
    subprocess.run(
        command,
        check=True,
        user=user,
        group=user,
        extra_groups=[] if user else None,
        cwd="/",
        stdout=stdout,
        stdin=subprocess.DEVNULL,
        timeout=START_SECONDS,
    )
