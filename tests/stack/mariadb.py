"""A private MariaDB: own data, own port on loopback, gone at the end."""

import contextlib
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.stack.folder import create
from tests.stack.ports import free_port

INSTALL = "apt-get install --no-install-recommends mariadb-server"
START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class MariaDB:
    """A running server; *url* is what gatepost.toml takes."""

    url: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    def run(self, sql: str) -> None:
        """Run *sql* as the administrator."""
        _run([program("mariadb"), "--no-defaults", f"--socket={self.folder}/socket", "-u", "root",
              "-e", sql])  # fmt: skip

    def fresh_database(self, name: str) -> str:
        """Make an empty database and return its URL."""
        self.run(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        self.run(f"GRANT ALL ON `{name}`.* TO gatepost@'127.0.0.1'")
        return f"{self.url.rpartition('/')[0]}/{name}"


def program(name: str) -> str:
    """Return the path of a MariaDB program; fail with the install command."""
    found = shutil.which(name, path="/usr/bin:/usr/sbin")
    if found is None:
        raise RuntimeError(f"{name} is not installed: {INSTALL}")
    return found


@contextlib.contextmanager
def running() -> Iterator[MariaDB]:
    """Start a server as user mysql (it refuses root), yield it, remove it."""
    folder = create("gatepost-mariadb-")
    user = "mysql" if os.geteuid() == 0 else None
    if user:
        owner = pwd.getpwnam(user)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    port = free_port()
    as_user = [f"--user={user}"] if user else []
    process = None
    try:
        _run([program("mariadb-install-db"), "--no-defaults", f"--datadir={folder}/data", *as_user,
              "--auth-root-authentication-method=normal", "--skip-test-db"])  # fmt: skip
        process = subprocess.Popen(
            [program("mariadbd"), "--no-defaults", f"--datadir={folder}/data", *as_user,
             f"--socket={folder}/socket", f"--pid-file={folder}/pid", f"--port={port}",
             "--bind-address=127.0.0.1", f"--log-error={folder}/log", "--skip-name-resolve",
             # the default from MariaDB 11.6 on: the stricter one is what we test
             "--innodb-snapshot-isolation=ON"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        server = MariaDB(f"mariadb://gatepost@127.0.0.1:{port}/gatepost", folder, process)
        _await(folder, process)
        server.run("CREATE USER gatepost@'127.0.0.1'")
        server.fresh_database("gatepost")
        yield server
    finally:
        if process is not None:
            process.kill()
            process.wait(START_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


def _await(folder: Path, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + START_SECONDS
    ping = [
        program("mariadb-admin"),
        "--no-defaults",
        f"--socket={folder}/socket",
        "-u",
        "root",
        "ping",
    ]
    while subprocess.run(ping, check=False, capture_output=True).returncode:
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"MariaDB did not start:\n{(folder / 'log').read_text()}")
        time.sleep(0.1)


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=START_SECONDS, cwd="/"
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
