"""One gatepost for the login tests: settings, a store, authd as a process, Dovecot's side."""

import base64
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.loader import load
from config.settings import Settings
from dovecot_auth.checkpassword import script
from store import schema
from store.audit import AuditContext
from store.engine import Store
from store.people import accounts
from tests.stack import unix_http
from tests.stack.folder import create
from tests.stack.probes import answers
from tests.stack.process import Process

SCRIPT = Path(script.__file__)
PACKAGE = SCRIPT.parents[1]
CHANGE = AuditContext("tests", "a test")
# Stands for checkpassword-reply: shows what it would tell Dovecot, and exits as it does.
REPLY = """#!/bin/sh
/usr/bin/env
[ "$AUTHORIZED" = 2 ] && exit 2
exit 0
"""
REPLIED = 0
REPLIED_LOOKUP = 2
ALICE = {"user": "alice", "password": "alice's password", "service": "imap", "remote": "192.0.2.7"}


@dataclass(frozen=True, slots=True)
class Site:
    """A folder that every user can enter: settings, store, sockets, the login script."""

    root: Path
    settings: Settings
    store: Store

    @property
    def config(self) -> Path:
        return self.root / "gatepost.toml"

    @property
    def socket(self) -> Path:
        return self.root / "auth.sock"

    def account(self, name: str, password: str | None, *, role: str = "student") -> None:
        """Add an account with a hash that costs nothing to check."""
        stored = None if password is None else cheap(password)
        new = accounts.NewAccount(name=name, role=role, password=stored)
        accounts.add(self.store, self.settings, new, change=CHANGE)

    def stored(self, name: str) -> str:
        """Return the hash of *name* as the store has it."""
        from store.logins.credentials import credentials

        found = credentials(self.store, self.settings, name)
        return (found.password if found else None) or ""

    def authd(self) -> Process:
        """Return authd, not started."""
        return Process(
            name="authd",
            command=[sys.executable, "-I", "-m", "dovecot_auth", "--config", str(self.config)],
            log=self.root / "authd.log",
            ready=lambda: answers(self.socket),
        )

    @contextmanager
    def running(self, *under: str) -> Iterator[Process]:
        """Run authd; *under* is a command that runs it, such as prlimit."""
        process = self.authd()
        process.command = [*under, *process.command]
        process.start()
        try:
            yield process
        finally:
            process.stop()

    def ask(self, path: str, **values: str) -> tuple[int, dict[str, str]]:
        """Ask authd as passdb.lua does."""
        return unix_http.post(self.socket, path, **values)

    def script(
        self,
        given: bytes | None,
        *,
        env: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        program: str | None = None,
        before: Callable[[], object] | None = None,
        under: Sequence[str] = (),
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run the real script as Dovecot does, *given* on descriptor 3 (None: closed).

        *under* is a command that runs it, such as strace.
        """
        chosen = {
            "--socket": str(self.socket),
            "--config": str(self.config),
            "--python": sys.executable,
            **(options or {}),
        }
        words = [word for pair in chosen.items() for word in pair]
        return with_descriptor(
            [
                *under,
                str(self.root / "lib" / SCRIPT.relative_to(PACKAGE.parent)),
                *words,
                program or str(self.root / "reply"),
            ],
            given,
            env={"SERVICE": "imap", "TCPREMOTEIP": "192.0.2.7", **(env or {})},
            before=before,
        )


def with_descriptor(
    command: list[str],
    given: bytes | None,
    *,
    env: Mapping[str, str],
    before: Callable[[], object] | None = None,
) -> "subprocess.CompletedProcess[bytes]":
    """Run *command* with *given* on descriptor 3."""
    readable, writable = os.pipe()
    os.write(writable, given or b"")
    os.close(writable)

    def prepare() -> None:
        if given is None:
            os.closerange(3, 4)
        else:
            os.dup2(readable, 3, inheritable=True)
        if before is not None:
            before()

    try:
        return subprocess.run(
            command,
            capture_output=True,
            check=False,
            timeout=60,
            env=dict(env),
            close_fds=False,  # it would close what prepare() opened
            preexec_fn=prepare,
        )
    finally:
        os.close(readable)


def cheap(password: str) -> str:
    """Return an old hash of *password* that is checked in microseconds."""
    digest = hashlib.sha512(password.encode() + b"salt").digest()
    return "{SSHA512}" + base64.b64encode(digest + b"salt").decode()


@contextmanager
def new_site(extra: str = "") -> Iterator[Site]:
    """Make a site with an empty store; *extra* is TOML appended to the settings."""
    # Not pytest's tmp_path: users dovecot and postfix must be able to enter it.
    root = create("gatepost-auth-")
    try:
        text = (
            f'[site]\ndomains = ["mail.example.edu"]\nmail_home = "{root}/mail/{{name}}"\n'
            f'[store]\nurl = "sqlite:///{root}/gatepost.db"\n'
            f'[auth]\nlisten = ["unix:{root}/auth.sock"]\n{extra}'
        )
        tomllib.loads(text)
        (root / "gatepost.toml").write_text(text)
        (root / "reply").write_text(REPLY)
        (root / "reply").chmod(0o755)
        # Where any user can run it: the repository may lie in a closed home.
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE, root / "lib" / PACKAGE.name, ignore=ignored)
        settings = load(root / "gatepost.toml")
        store = Store(settings.store.url)
        schema.upgrade(store)
        yield Site(root, settings, store)
        store.close()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def connected(path: Path) -> socket.socket:
    """Return a connection to authd's unix socket."""
    channel = socket.socket(socket.AF_UNIX)
    channel.connect(str(path))  # waits while the backlog is full; with a timeout it would not
    channel.settimeout(20)
    return channel


def until(condition: Callable[[], object], *, seconds: float = 10) -> bool:
    """Return whether *condition*() comes true within *seconds*."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
