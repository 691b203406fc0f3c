"""What the parts of the setup share: plans, notes, and running programs."""

import os
import pwd
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from config.setup.files import Change
from config.units import Address

# Restarting Dovecot can take as long as systemd lets it: 90 s.
COMMAND_SECONDS = 180


class CannotSetUp(Exception):  # noqa: N818 - a state of the machine
    """The machine does not meet a requirement; the text says what to do."""


@dataclass(frozen=True, slots=True)
class SetupNote:
    """Something the postmaster should know; *mend* is a command that cures it."""

    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a part would do."""

    changes: list[Change]
    notes: list[SetupNote] = field(default_factory=list)


class SetupPart(Protocol):
    """One part; the record of what it changed has its name."""

    name: str

    def is_installed_by_hand(self) -> bool:
        """Return whether 0.1.0, which had no setup, was installed here."""

    def plan(self) -> Plan:
        """Return what would change; raise `CannotSetUp` or `ConfigError`."""

    def check(self) -> None:
        """Raise `CannotSetUp` if the changes would stop mail."""

    def activate(self) -> None:
        """Have the programs concerned read the new files; raise `CannotSetUp` if one refuses."""

    def before_undo(self) -> None:
        """Do what needs gatepost's files while they are still there."""

    def clean(self, path: Path, text: str) -> str | None:
        """Return the *text* of a file edited since, without gatepost's part of it."""

    def after_undo(self) -> None:
        """Have the programs concerned read the old files again."""


def command(*words: str, check: bool = True) -> str:
    """Run a program and return its output; raise `CannotSetUp` with its errors if it fails."""
    try:
        done = subprocess.run(
            words, check=False, capture_output=True, text=True, timeout=COMMAND_SECONDS
        )
    except FileNotFoundError:
        raise CannotSetUp(f"{words[0]} is not installed on this machine") from None
    except subprocess.TimeoutExpired:
        raise CannotSetUp(f"{' '.join(words)}: not finished after {COMMAND_SECONDS} s") from None
    if check and done.returncode:
        output = (done.stderr or done.stdout).strip()
        raise CannotSetUp(f"{' '.join(words)}: {output or f'exit {done.returncode}'}")
    return done.stdout


def cannot_connect(listen: Address, *, user: str) -> str:
    """Return why *user* cannot connect to *listen*; empty if it can."""
    where: Sequence[object] = (listen.host, listen.port)
    family = "AF_INET6" if ":" in listen.host else "AF_INET"
    target = repr(listen.path if listen.kind == "unix" else tuple(where))
    family = "AF_UNIX" if listen.kind == "unix" else family
    script = (
        f"import socket\ns = socket.socket(socket.{family})\ns.settimeout(5)\n"
        f"try: s.connect({target})\nexcept OSError as e: print(e.strerror or e)"
    )
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return f"there is no user {user}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script],
        check=False, capture_output=True, text=True, timeout=COMMAND_SECONDS,
        user=account.pw_uid, group=account.pw_gid,
        extra_groups=os.getgrouplist(user, account.pw_gid), cwd="/",
    )  # fmt: skip
    return done.stdout.strip() or (done.stderr.strip().splitlines() or [""])[-1]
