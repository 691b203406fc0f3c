"""The machine: users, folders, units, the line for cron, and the first gatepost.toml.

The shipped files name Debian's paths. If Postfix's queue lies elsewhere, or gatepost.toml has a
service listen elsewhere, the installed files follow.
"""

import grp
import os
import pwd
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from config.loader import load
from config.settings import Settings
from config.setup import postconf
from config.setup.files import Change, change_to, link_to
from config.setup.part import CannotSetUp, Plan, SetupNote, command
from config.setup.postfix import DEFAULT_QUEUE

SHARE = Path(__file__).parents[1] / "etc"
PACKAGES = SHARE.parents[1]
UNITS = Path("/etc/systemd/system")
SOCKET_UNIT = "gatepost-policyd.socket"
# Further policyd processes; the pattern matches those that run.
TEMPLATE_UNIT, INSTANCES = "gatepost-policyd@.service", "gatepost-policyd@*.service"
SERVICES = ("gatepost-policyd", "gatepost-milter", "gatepost-authd")
USERS = ("gatepost", *SERVICES)
GROUP = "gatepost"
SETTINGS = Path("/etc/gatepost/gatepost.toml")
HOME = Path("/opt/gatepost")
COMMAND = Path("/usr/local/bin/gatepost")
# Undo removes RUNTIME and keeps STATE.
RUNTIME = Path("/run/gatepost")
STATE = Path("/var/lib/gatepost")
# The shipped file → where it is installed.
_FILES = {
    "systemd/gatepost.sysusers.conf": Path("/etc/sysusers.d/gatepost.conf"),
    "systemd/gatepost.tmpfiles.conf": Path("/etc/tmpfiles.d/gatepost.conf"),
    "cron.d/gatepost": Path("/etc/cron.d/gatepost"),
}


def plan(settings: Settings | None, queue_directory: str | None) -> list[Change]:
    """Return the changes to this machine; *settings* are ``None`` before the first run."""
    replaced = {DEFAULT_QUEUE: (queue_directory or DEFAULT_QUEUE).rstrip("/")}
    changes = [change_to(target, _shipped_text(name, replaced)) for name, target in _FILES.items()]
    for path in sorted((SHARE / "systemd").glob("*.s*")):
        if path.suffix in (".service", ".socket"):
            text = _shipped_text(f"systemd/{path.name}", replaced)
            if path.name == SOCKET_UNIT and settings is not None:
                text = _with_listeners(text, settings)
            changes.append(change_to(UNITS / path.name, text))
    changes += [link_to(path, target) for path, target in _links()]
    if not SETTINGS.exists():
        sample = _shipped_text("gatepost.toml", replaced)
        changes.append(change_to(SETTINGS, sample, mode=0o640))
    return changes


def _shipped_text(name: str, replaced: Mapping[str, str]) -> str:
    text = (SHARE / name).read_text(encoding="utf-8")
    for old, new in replaced.items():
        text = text.replace(old, new)
    return text


def _with_listeners(unit: str, settings: Settings) -> str:
    """Return the socket *unit* with the addresses of ``policyd.listen``."""
    where = {
        each: each.path if each.kind == "unix" else str(each).removeprefix("inet:")
        for each in settings.policyd.listen
    }
    lines = [f"ListenStream={each}" for each in where.values()]
    return "\n".join(
        "\n".join(lines) if line.startswith("ListenStream=") else line for line in unit.split("\n")
    )


def _links() -> Iterator[tuple[Path, str]]:
    """Yield the links by which other programs find what pip installed."""
    yield HOME / "share", str(SHARE)
    yield HOME / "checkpassword", str(PACKAGES / "dovecot_auth/checkpassword/script.py")
    yield HOME / "passdb.lua", str(PACKAGES / "dovecot_auth/passdb.lua")
    yield COMMAND, str(HOME / "venv/bin/gatepost")


class SystemSetup:
    """Users, folders, units, cron."""

    name = "system"

    def __init__(self, path: Path) -> None:
        """*path* is gatepost.toml, which the first run creates."""
        self._path = path

    def is_installed_by_hand(self) -> bool:
        """Return whether a unit is there."""
        return (UNITS / f"{SERVICES[-1]}.service").exists()

    def plan(self) -> Plan:
        """Return the files that are new or changed."""
        settings = load(self._path) if self._path.exists() else None
        notes = []
        if settings is None:
            notes.append(SetupNote(f"next, edit {self._path}, then run `gatepost config check`"))
        changes = plan(settings, postconf.queue_directory())
        return Plan([replace(each, is_gateposts=True) for each in changes], notes)

    def check(self) -> None:
        """Raise `CannotSetUp` unless gatepost runs from where the units start it."""
        if Path(sys.prefix) != HOME / "venv":
            raise CannotSetUp(
                f"this gatepost runs from {sys.prefix}; the units start it from {HOME}/venv"
            )

    def activate(self) -> None:
        """Create users and folders, and have systemd read the units."""
        command("systemd-sysusers", "gatepost.conf")
        command("systemd-tmpfiles", "--create", "gatepost.conf")
        shutil.chown(self._path, group=GROUP)
        command("systemctl", "daemon-reload")

    def before_undo(self) -> None:
        """Stop the services; raise `CannotSetUp` while Postfix asks them: all mail would wait."""
        if _postfix_asks():
            raise CannotSetUp(
                "main.cf still has $gatepost_…: all mail would wait. Undo postfix first; entries "
                "that were added by hand, remove by hand"
            )
        units = [SOCKET_UNIT, *(f"{name}.service" for name in SERVICES)]
        command("systemctl", "disable", "--now", *units, check=False)
        command("systemctl", "stop", INSTANCES, check=False)
        command("systemctl", "disable", TEMPLATE_UNIT, check=False)

    def clean(self, path: Path, text: str) -> str | None:
        """Return ``None``, as all files here are gatepost's; `after_undo` keeps gatepost.toml."""
        return text if path == self._path else None

    def after_undo(self) -> None:
        """Keep settings and key beside the store, for root only; remove users and folders."""
        command("systemctl", "daemon-reload")
        command("systemctl", "reset-failed", "gatepost-*", check=False)
        folders = [RUNTIME]
        if queue := postconf.queue_directory():
            folders.append(Path(queue) / "gatepost")
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        for kept in self._path.parent.glob("*") if self._path.parent.exists() else ():
            kept.rename(STATE / kept.name)
        self._path.parent.rmdir()
        for path in (STATE, *STATE.rglob("*")):
            os.chown(path, 0, 0)
            path.chmod(0o700 if path.is_dir() else 0o600)
        for user in USERS:
            if _exists(pwd.getpwnam, user):
                command("userdel", user)
        if _exists(grp.getgrnam, GROUP):
            command("groupdel", GROUP)


def _postfix_asks() -> bool:
    with suppress(CannotSetUp):  # no Postfix on this machine
        return "$gatepost_" in postconf.run("-n")
    return False


def _exists(find: Callable[[str], object], name: str) -> bool:
    with suppress(KeyError):
        find(name)
        return True
    return False
