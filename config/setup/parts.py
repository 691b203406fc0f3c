"""The parts of the setup: what each would change, and what has to be done besides writing files."""

import grp
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from config.loader import ConfigError, load
from config.settings import Settings
from config.setup import postconf, postfix, system
from config.setup.files import Change, changed, read
from config.setup.postfix import CannotSetUp, Note
from config.units import Address

# Restarting Dovecot can take as long as systemd lets it: 90 s.
COMMAND_SECONDS = 180
MAIN_CF = "main.cf"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a part would do."""

    changes: list[Change]
    notes: list[Note] = field(default_factory=list)


class Part(Protocol):
    """One part; the record of what it changed has its name."""

    name: str

    def plan(self) -> Plan:
        """Return what would be done; raise `CannotSetUp` or `ConfigError`."""

    def check(self) -> None:
        """Raise `CannotSetUp` where the changes would stop mail."""

    def activate(self) -> None:
        """Make the programs concerned read the new files; raise `CannotSetUp` if they refuse."""

    def before_undo(self) -> None:
        """Do what needs our files, while they are still there."""

    def clean(self, path: Path, text: str) -> str | None:
        """Return the *text* of a file that was edited since, without anything of ours."""

    def after_undo(self) -> None:
        """Make the programs concerned read the old files again."""


def command(*words: str, check: bool = True) -> str:
    """Run a program; raise `CannotSetUp` with what it said when it fails."""
    try:
        done = subprocess.run(
            words, check=False, capture_output=True, text=True, timeout=COMMAND_SECONDS
        )
    except FileNotFoundError:
        raise CannotSetUp(f"{words[0]} is not here") from None
    except subprocess.TimeoutExpired:
        raise CannotSetUp(f"{' '.join(words)}: no end after {COMMAND_SECONDS} s") from None
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise CannotSetUp(f"{' '.join(words)}: {said or f'exit {done.returncode}'}")
    return done.stdout


class System:
    """Users, folders, units, cron."""

    name = "system"

    def __init__(self, path: Path) -> None:
        """*path* is gatepost.toml, which the first run makes."""
        self._path = path

    def plan(self) -> Plan:
        """Return the files that are new or renewed."""
        settings = load(self._path) if self._path.exists() else None
        notes = []
        if settings is None:
            notes.append(Note(f"edit {self._path} next; then `gatepost config check`"))
        return Plan(system.plan(settings, postconf.queue_directory()), notes)

    def check(self) -> None:
        """The units name the place where the program lies."""
        if Path(sys.prefix) != system.HOME / "venv":
            raise CannotSetUp(
                f"this gatepost runs from {sys.prefix}; the units want it in {system.HOME}/venv"
            )

    def activate(self) -> None:
        """Make users and folders, and let systemd read the units."""
        command("systemd-sysusers", "gatepost.conf")
        command("systemd-tmpfiles", "--create", "gatepost.conf")
        shutil.chown(self._path, group=system.GROUP)
        command("systemctl", "daemon-reload")

    def before_undo(self) -> None:
        """Stop the services."""
        units = [system.SOCKET_UNIT, *(f"{name}.service" for name in system.SERVICES)]
        command("systemctl", "disable", "--now", *units, check=False)

    def clean(self, path: Path, text: str) -> str | None:
        """Everything here is a file of ours; gatepost.toml is kept by `after_undo`."""
        return text if path == self._path else None

    def after_undo(self) -> None:
        """Keep settings and key with the store, for root only; remove users and folders."""
        command("systemctl", "daemon-reload")
        command("systemctl", "reset-failed", "gatepost-*", check=False)
        folders = [system.RUNTIME]
        if queue := postconf.queue_directory():
            folders.append(Path(queue) / "gatepost")
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        for kept in self._path.parent.glob("*") if self._path.parent.exists() else ():
            kept.rename(system.STATE / kept.name)
        self._path.parent.rmdir()
        for path in (system.STATE, *system.STATE.rglob("*")):
            os.chown(path, 0, 0)
            path.chmod(0o700 if path.is_dir() else 0o600)
        for user in system.USERS:
            if _exists(pwd.getpwnam, user):
                command("userdel", user)
        if _exists(grp.getgrnam, system.GROUP):
            command("groupdel", system.GROUP)


class Postfix:
    """The words in main.cf that make Postfix ask."""

    name = "postfix"

    def __init__(self, path: Path, folder: Path) -> None:
        """*path* is gatepost.toml, *folder* that of main.cf."""
        self._path = path
        self._folder = folder
        self._main_cf = folder / MAIN_CF

    def plan(self) -> Plan:
        """Return the change of main.cf, and which services it does not reach."""
        text = read(self._main_cf)
        if text is None:
            raise CannotSetUp(f"{self._main_cf}: no such file; --postfix names its folder")
        after, notes = postfix.plan(text, load(self._path), postconf.facts(self._folder))
        return Plan([changed(self._main_cf, after)], notes)

    def check(self) -> None:
        """Both services must answer Postfix's user, or all mail would wait from now on."""
        settings = load(self._path)
        for unit, listen in (
            ("gatepost-policyd.socket gatepost-policyd", settings.policyd.listen[0]),
            ("gatepost-milter", settings.milter.listen),
        ):
            if trouble := cannot_connect(listen, user="postfix"):
                raise CannotSetUp(
                    f"{listen}: {trouble} (as user postfix): all mail would wait. "
                    f"`systemctl enable --now {unit}`, then again"
                )

    def activate(self) -> None:
        """Let Postfix read main.cf, if it finds no fault in it."""
        warnings = subprocess.run(
            ["postconf", "-c", str(self._folder), "-n"],
            check=False, capture_output=True, text=True, timeout=COMMAND_SECONDS,
        ).stderr  # fmt: skip
        if "gatepost" in warnings:
            raise CannotSetUp(f"postconf: {warnings.strip()}")
        command("postfix", "-c", str(self._folder), "check")
        self.after_undo()

    def before_undo(self) -> None:
        """Nothing."""

    def clean(self, path: Path, text: str) -> str | None:  # noqa: ARG002 - there is one file
        """Take our words out; the sizes that we raised become what they were."""
        from config.setup.record import Record  # the file as we found it

        entry = Record.load(self.name).files.get(str(self._main_cf))
        return postfix.without(text, entry.before if entry else None)

    def after_undo(self) -> None:
        """Let a Postfix that runs read main.cf."""
        if not command("postfix", "-c", str(self._folder), "status", check=False):
            subprocess.run(
                ["postfix", "-c", str(self._folder), "reload"],
                check=False, capture_output=True, timeout=COMMAND_SECONDS,
            )  # fmt: skip


def cannot_connect(listen: Address, *, user: str) -> str:
    """Return why *user* cannot connect to *listen*; empty when it can."""
    where: Sequence[object] = (listen.host, listen.port)
    family = "AF_INET6" if ":" in listen.host else "AF_INET"
    target = repr(listen.path if listen.kind == "unix" else tuple(where))
    family = "AF_UNIX" if listen.kind == "unix" else family
    script = (
        f"import socket\ns = socket.socket(socket.{family})\ns.settimeout(5)\n"
        f"try: s.connect({target})\nexcept OSError as e: print(e.strerror or e)"
    )
    try:
        who = pwd.getpwnam(user)
    except KeyError:
        return f"there is no user {user}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script],
        check=False, capture_output=True, text=True, timeout=COMMAND_SECONDS,
        user=who.pw_uid, group=who.pw_gid, extra_groups=os.getgrouplist(user, who.pw_gid), cwd="/",
    )  # fmt: skip
    return done.stdout.strip() or (done.stderr.strip().splitlines() or [""])[-1]


def _exists(find: object, name: str) -> bool:
    try:
        find(name)  # type: ignore[operator]
    except KeyError:
        return False
    return True


def settings_or_none(path: Path) -> Settings | None:
    """Return the settings in *path*, ``None`` where they cannot be read."""
    try:
        return load(path)
    except ConfigError:
        return None
