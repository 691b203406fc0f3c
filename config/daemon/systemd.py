"""Notifications to systemd, and sockets from it; without systemd, nothing happens.

sd_notify(3) and sd_listen_fds(3), in the few lines the protocol needs.
"""

import logging
import os
import socket

from config.daemon.events import event

log = logging.getLogger(__name__)

_FIRST_FD = 3  # SD_LISTEN_FDS_START


def notify(*states: str) -> None:
    """Send *states* such as ``"READY=1"`` or ``"STOPPING=1"`` to the service manager."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    if path.startswith("@"):  # abstract socket
        path = "\0" + path[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.connect(path)
            channel.sendall("\n".join(states).encode())
        except OSError:
            return  # a manager that has ended must not stop mail


def inherited_fds() -> range:
    """Return the descriptors of the sockets systemd opened for us; warn if they are not ours."""
    count, owner = os.environ.get("LISTEN_FDS", "0"), os.environ.get("LISTEN_PID")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)  # not for our children
    if not count.isdecimal() or not int(count):
        return range(0)
    if owner != str(os.getpid()):
        # Otherwise clients of a socket that nobody serves would hang without an explanation.
        reason = f"LISTEN_PID={owner} is not this process, {os.getpid()}: a script needs exec"
        log.warning(event("sockets-ignored", sockets=count, reason=reason))
        return range(0)
    return range(_FIRST_FD, _FIRST_FD + int(count))


def inherited_sockets() -> list[socket.socket]:
    """Return the listening sockets systemd opened for us; empty without socket activation."""
    sockets = [socket.socket(fileno=fd) for fd in inherited_fds()]
    for each in sockets:
        each.set_inheritable(False)
    return sockets
