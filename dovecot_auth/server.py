"""The process around authd: sockets, signals, start and end.

Unix sockets get mode 0660: who may write to one is decided by its directory's
group. SIGTERM finishes what is in progress and exits 0; SIGHUP reads the settings
again and keeps the old ones when the new are bad.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from config import systemd
from config.loader import ConfigError
from config.settings import Settings
from config.start import listening_on
from config.units import Address
from dovecot_auth.authd import Service
from dovecot_auth.check import Checker
from dovecot_auth.connections import Connections
from store.engine import Store

log = logging.getLogger(__name__)

_SOCKET_UMASK = 0o117  # 0660
_BACKLOG = 512  # a storm of logins knocks before the first is accepted


async def run(settings: Settings, reload: Callable[[], Settings]) -> None:
    """Serve until SIGTERM; *reload* returns the settings of SIGHUP."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    service = Service(Checker(Store(settings.store.url), settings))

    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, service, reload)
    sockets = systemd.inherited_sockets()
    for each in () if sockets else settings.auth.listen:
        with listening_on(each):
            sockets.append(bound(each))
    # Each listener has its own cap: who fills one does not close the other.
    edges = [Connections(service) for _ in sockets]
    servers = [await _listening(*pair) for pair in zip(edges, sockets, strict=True)]
    log.info("ready on %s", ", ".join(str(each) for each in settings.auth.listen))
    systemd.notify("READY=1")
    await stop.wait()
    systemd.notify("STOPPING=1")
    for server in servers:
        server.close()
    await asyncio.gather(*(edge.drain() for edge in edges))
    await service.close()
    log.info("stopped")


def bound(address: Address) -> socket.socket:
    """Return a socket bound to *address*; a stale unix socket makes room."""
    if address.kind == "inet":
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        return listener
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(FileNotFoundError):
        Path(address.path).unlink()
    before = os.umask(_SOCKET_UMASK)
    try:
        listener.bind(address.path)
    finally:
        os.umask(before)
    return listener


async def _listening(connections: Connections, listener: socket.socket) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    if listener.family == socket.AF_UNIX:
        return await loop.create_unix_server(connections.new, sock=listener, backlog=_BACKLOG)
    return await loop.create_server(connections.new, sock=listener, backlog=_BACKLOG)


def _reload(service: Service, reload: Callable[[], Settings]) -> None:
    try:
        settings = reload()
    except ConfigError as error:
        log.error("settings not read, the old ones stay: %s", error)  # noqa: TRY400 - no bug
        return
    service.replace(Checker(Store(settings.store.url), settings))
    log.info("settings read again; a change of auth.listen needs a restart")
