"""The sockets that policyd listens on: systemd's, or its own."""

import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from config.systemd import inherited_sockets
from config.units import Address

# As many as may be connected: all smtpd processes may reconnect at once after a restart.
BACKLOG = 1024
# Postfix's smtpd runs as user postfix: the socket's group decides who may ask.
_UMASK = 0o117


def listening(addresses: Sequence[Address]) -> list[socket.socket]:
    """Return the sockets systemd holds for us, else sockets on *addresses*."""
    sockets = inherited_sockets() or [_open(address) for address in addresses]
    for each in sockets:
        each.setblocking(False)
    return sockets


def _open(address: Address) -> socket.socket:
    if address.kind == "unix":
        return _open_unix(Path(address.path))
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return _bound(opened, (address.host, address.port))


def _open_unix(path: Path) -> socket.socket:
    _remove_stale(path)
    before = os.umask(_UMASK)
    try:
        return _bound(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), str(path))
    finally:
        os.umask(before)


def _bound(opened: socket.socket, where: str | tuple[str, int]) -> socket.socket:
    try:
        opened.bind(where)
        opened.listen(BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def _remove_stale(path: Path) -> None:
    """Remove the socket of a dead process; leave one that answers, and what is no socket."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
