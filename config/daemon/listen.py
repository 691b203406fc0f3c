"""The sockets that a service listens on: systemd's, or its own.

A unix socket is open to its group: who may connect is decided by that and, where a
service looks closer, by `config.daemon.callers`. A socket that a living process listens on
is never taken from it.
"""

import logging
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from config.daemon.events import event
from config.daemon.start import listening_on
from config.daemon.systemd import inherited_sockets
from config.units import Address

log = logging.getLogger(__name__)
# As many as may be connected: all peers may reconnect at once after a restart.
BACKLOG = 1024
_UMASK = 0o117  # 0660


def listening(addresses: Sequence[Address], *, workers: int = 1) -> list[list[socket.socket]]:
    """Return for each of *workers* the sockets systemd holds for us, else those on *addresses*.

    A TCP port is opened once for each worker (SO_REUSEPORT), so that the kernel
    spreads the connections; workers share what can be opened once only.
    """
    if inherited := inherited_sockets():
        held, asked = " ".join(map(name_of, inherited)), " ".join(map(str, addresses))
        if held != asked:
            log.warning(event("listen-ignored", asked=asked, held_by_systemd=held))
        sets = [inherited] * workers
    else:
        unix = {a: _open_unix(a) for a in addresses if a.kind == "unix"}
        sets = [
            [unix[a] if a in unix else _open_inet(a, share=workers > 1) for a in addresses]
            for _ in range(workers)
        ]
    for each in sets:
        for opened in each:
            opened.setblocking(False)
    return sets


def name_of(opened: socket.socket) -> str:
    """Return where *opened* listens, as the settings write it."""
    where = opened.getsockname()
    if opened.family == socket.AF_UNIX:
        return f"unix:{where}"
    return str(Address("inet", host=where[0], port=where[1]))


def _open_inet(address: Address, *, share: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if share:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    with listening_on(address):
        return _bound(opened, (address.host, address.port))


def _open_unix(address: Address) -> socket.socket:
    before = os.umask(_UMASK)
    try:
        with listening_on(address):
            _remove_stale(Path(address.path))
            return _bound(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), address.path)
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
    """Remove the socket of a dead process; leave any other, and what is no socket.

    Only a refused connection says that nobody listens. One that is not taken at once has a
    living process behind it, which may be busy or stopped.
    """
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:
            return  # bind() will say that the address is in use
