"""The machine: users, folders, units, the line for cron, and the first gatepost.toml.

The shipped files name Debian's paths; where Postfix's queue lies elsewhere, or gatepost.toml
says that a service listens elsewhere, the files that are installed say so, too.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from config.settings import Settings
from config.setup.files import Change, changed, linked
from config.setup.postfix import DEFAULT_QUEUE

SHARE = Path(__file__).parents[1]
PACKAGES = SHARE.parent
UNITS = Path("/etc/systemd/system")
SOCKET_UNIT = "gatepost-policyd.socket"
SERVICES = ("gatepost-policyd", "gatepost-milter", "gatepost-authd")
USERS = ("gatepost", *SERVICES)
GROUP = "gatepost"
SETTINGS = Path("/etc/gatepost/gatepost.toml")
HOME = Path("/opt/gatepost")
COMMAND = Path("/usr/local/bin/gatepost")
# What is gone when gatepost is taken out; what is kept lies in /var/lib/gatepost.
RUNTIME = Path("/run/gatepost")
STATE = Path("/var/lib/gatepost")
# The shipped file → where it is installed.
_FILES = {
    "systemd/gatepost.sysusers.conf": Path("/etc/sysusers.d/gatepost.conf"),
    "systemd/gatepost.tmpfiles.conf": Path("/etc/tmpfiles.d/gatepost.conf"),
    "cron.d/gatepost": Path("/etc/cron.d/gatepost"),
}


def plan(settings: Settings | None, queue_directory: str | None) -> list[Change]:
    """Return what has to change on this machine; *settings* are ``None`` before the first run."""
    replaced = {DEFAULT_QUEUE: (queue_directory or DEFAULT_QUEUE).rstrip("/")}
    changes = [
        changed(target, _shipped(name, replaced)) for name, target in _FILES.items()
    ]
    for path in sorted((SHARE / "systemd").glob("*.s*")):
        if path.suffix in (".service", ".socket"):
            text = _shipped(f"systemd/{path.name}", replaced)
            if path.name == SOCKET_UNIT and settings is not None:
                text = _listening(text, settings)
            changes.append(changed(UNITS / path.name, text))
    changes += [linked(path, target) for path, target in _links()]
    if not SETTINGS.exists():
        sample = _shipped("samples/gatepost.toml", replaced)
        changes.append(changed(SETTINGS, sample, mode=0o640))
    return changes


def _shipped(name: str, replaced: Mapping[str, str]) -> str:
    text = (SHARE / name).read_text(encoding="utf-8")
    for old, new in replaced.items():
        text = text.replace(old, new)
    return text


def _listening(unit: str, settings: Settings) -> str:
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
    """Yield the names under which other programs find what pip installed."""
    yield HOME / "share", str(SHARE)
    yield HOME / "checkpassword", str(PACKAGES / "dovecot_auth/checkpassword.py")
    yield HOME / "passdb.lua", str(PACKAGES / "dovecot_auth/passdb.lua")
    yield COMMAND, str(HOME / "venv/bin/gatepost")
