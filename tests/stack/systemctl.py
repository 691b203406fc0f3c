#!/usr/bin/python3
"""systemctl, as far as docs/operations.md needs it, where no systemd runs.

Starts a unit as its file says: user, groups, umask, no capability, and waits for
READY=1. So the rehearsal proves that each service can do its work with the rights
it gets on a site. Confinement by namespaces is systemd's alone.
"""

import configparser
import grp
import os
import pwd
import signal
import socket
import subprocess
import sys
from pathlib import Path

UNITS = Path("/etc/systemd/system")
PIDS = Path("/run/units")
LOGS = Path("/var/log/units")
READY_SECONDS = 60
OTHERS = {
    ("restart", "dovecot"): "doveadm stop; dovecot",
    ("reload", "postfix"): "postfix reload",
}


def main() -> int:
    """Do what is asked; an unknown word is a fault of the documentation."""
    action, *names = [word for word in sys.argv[1:] if word != "--now"]
    if action == "daemon-reload":
        return 0
    for name in names:
        unit = name.removesuffix(".service")
        if (action, unit) in OTHERS:
            subprocess.run(["sh", "-c", OTHERS[action, unit]], check=True)
        elif unit.endswith(".socket"):
            continue  # the service listens by itself where it is given no socket
        elif action == "enable":
            start(unit)
        elif action == "reload":
            os.kill(pid(unit), signal.SIGHUP)
        elif action == "is-active":
            os.kill(pid(unit), 0)
            print("active")
        else:
            sys.exit(f"systemctl: not rehearsed: {action} {name}")
    return 0


def pid(unit: str) -> int:
    """Return the process of a unit that was started here."""
    return int((PIDS / unit).read_text())


def start(unit: str) -> None:
    """Start a service and wait until it says that it is ready."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read(UNITS / f"{unit}.service")
    service = parser["Service"]
    for folder in (PIDS, LOGS):
        folder.mkdir(exist_ok=True)
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    address = PIDS / f"{unit}.notify"
    ready.bind(str(address))
    address.chmod(0o777)
    ready.settimeout(READY_SECONDS)
    with (LOGS / f"{unit}.log").open("ab") as log:
        child = subprocess.Popen(
            ["setpriv", "--no-new-privs", "--", *service["ExecStart"].split()],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
            env={"NOTIFY_SOCKET": str(address), "PATH": "/usr/bin"},
            preexec_fn=lambda: become(service),  # noqa: PLW1509 - one thread
        )  # fmt: skip
    (PIDS / unit).write_text(str(child.pid))
    try:
        while b"READY=1" not in ready.recv(4096):
            continue
    except TimeoutError:
        sys.exit(f"{unit} is not ready:\n{(LOGS / f'{unit}.log').read_text()}")


def become(service: "configparser.SectionProxy") -> None:
    """Take on the rights of the unit, for good."""
    groups = [service["Group"], *service.get("SupplementaryGroups", "").split()]
    os.umask(int(service["UMask"], 8))
    os.setgroups([grp.getgrnam(name).gr_gid for name in groups])
    os.setgid(grp.getgrnam(service["Group"]).gr_gid)
    os.setuid(pwd.getpwnam(service["User"]).pw_uid)


if __name__ == "__main__":
    sys.exit(main())
