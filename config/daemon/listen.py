"""The sockets that a service listens on: systemd's, or its own.

The group of a unix socket may connect; authd also checks the user (`config.daemon.callers`).
A socket that a living process listens on is never taken from it.
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
# As many as there may be connections: all peers may reconnect at once after a restart.
BACKLOG = 1024
_UMASK = 0o117  # 0660


def open_listeners(addresses: Sequence[Address]) -> list[socket.socket]:
    """Return the sockets that systemd holds for us, else new ones on *addresses*.

    Ends the process with 69 (EX_UNAVAILABLE) if an address is taken or not permitted.
    """
    if listeners := inherited_sockets():
        held, asked = " ".join(map(address_of, listeners)), " ".join(map(str, addresses))
        if held != asked:
            log.warning(event("listen-ignored", asked=asked, held_by_systemd=held))
    else:
        listeners = [_open(address) for address in addresses]
    for listener in listeners:
        listener.setblocking(False)
    return listeners


def address_of(listener: socket.socket) -> str:
    """Return the address of *listener* as the settings write it."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    return str(Address("inet", host=name[0], port=name[1]))


def _open(address: Address) -> socket.socket:
    with listening_on(address):
        return _open_unix(address) if address.kind == "unix" else _open_inet(address)


def _open_inet(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return _bind(listener, (address.host, address.port))


def _open_unix(address: Address) -> socket.socket:
    before = os.umask(_UMASK)
    try:
        _remove_stale(Path(address.path))
        return _bind(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), address.path)
    finally:
        os.umask(before)


def _bind(listener: socket.socket, name: str | tuple[str, int]) -> socket.socket:
    try:
        listener.bind(name)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket of a dead process; leave any other, and any other kind of file.

    Only a refused connection proves that nobody listens. One that is not accepted at once
    has a living process behind it, which may be busy or stopped.
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
            return  # bind() will fail with "address in use"
