"""The process around authd: sockets, signals, start and end.

SIGTERM finishes what is in progress and exits 0. SIGHUP reads the settings again and
keeps the old ones when the new are bad; failures counted here, passwords remembered
and logins in progress stay.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable

from config.daemon import systemd
from config.daemon.callers import Callers
from config.daemon.listen import BACKLOG, listening
from config.daemon.logs import fields
from config.loader import ConfigError
from config.settings import Settings
from dovecot_auth.check import Checker
from dovecot_auth.connections import Connections
from dovecot_auth.service import Service
from store.engine import Store

log = logging.getLogger(__name__)


class Server:
    """One authd process; *reload* returns the settings of SIGHUP."""

    def __init__(self, settings: Settings, reload: Callable[[], Settings]) -> None:
        self._settings = settings
        self._reload = reload
        self._checker = Checker(Store(settings.store.url), settings)
        self._callers = Callers(settings.auth.callers)
        self._stopping = asyncio.Event()
        self._reloading: asyncio.Task[None] | None = None
        self._again = False  # whether SIGHUP came since the file was read last

    async def run(self) -> None:
        """Serve until SIGTERM."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGINT, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        service = Service(self._checker)
        (sockets,) = listening(self._settings.auth.listen)
        # Each listener has its own cap: who fills one does not close the other.
        edges = [Connections(service, self._callers) for _ in sockets]
        servers = [await _serving(*pair) for pair in zip(edges, sockets, strict=True)]
        log.info("ready on %s", ", ".join(str(each) for each in self._settings.auth.listen))
        systemd.notify("READY=1")
        await self._stopping.wait()
        systemd.notify("STOPPING=1")
        for server in servers:
            server.close()
        await asyncio.gather(*(edge.drain() for edge in edges))
        await service.close()
        if self._callers.refused:
            log.warning(fields(event="callers-refused", connections=self._callers.refused.total()))
        log.info("stopped")

    def _hung_up(self) -> None:
        self._again = True
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.get_running_loop().create_task(self._read_as_asked())

    async def _read_as_asked(self) -> None:
        while self._again:
            self._again = False
            # A file may take its time to read, as may the names of users: logins go on.
            await asyncio.to_thread(self._read_again)

    def _read_again(self) -> None:
        try:
            settings = self._reload()
        except ConfigError as error:
            reason = str(error).replace("\n", "; ")
            log.error("settings not read, the old ones stay: %s", reason)  # noqa: TRY400 - no bug
            return
        if settings.auth.listen != self._settings.auth.listen:
            log.warning(fields(event="restart-needed", reason="auth.listen changed"))
        self._callers.allow(settings.auth.callers)
        # Always a new one: the file or the server behind the same URL may be another.
        old = self._checker.use(Store(settings.store.url), settings)
        old.close()  # those of its connections that are in use end when they are given back
        log.info("settings read again")


async def _serving(connections: Connections, listener: socket.socket) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    if listener.family == socket.AF_UNIX:
        return await loop.create_unix_server(connections.new, sock=listener, backlog=BACKLOG)
    return await loop.create_server(connections.new, sock=listener, backlog=BACKLOG)
