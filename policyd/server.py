"""The process: sockets, signals, the memory copy's refresh, a clean start and end.

SIGTERM drains: no new connections, every complete question answered, exit 0
within `DRAIN_SECONDS`. SIGHUP reads the settings again; a broken file changes
nothing and says so in one line.
"""

import asyncio
import logging
import resource
import signal
import socket
import time
from pathlib import Path

import uvloop

from config.daemon.events import event
from config.daemon.listen import BACKLOG, address_of, open_listeners
from config.daemon.reload import Reloader
from config.daemon.systemd import notify
from config.settings import Settings
from policyd.facts import Facts
from policyd.service import MAX_CONNECTIONS, Service
from store.engine import Store
from store.limits.open import open_counters
from store.memory.directory import Directory
from store.memory.refresher import Refresher

log = logging.getLogger("policyd")
# Blocked from the start of the process until the loop handles them.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Below the 5 s after which we call an answer overdue, and systemd's TimeoutStopSec.
DRAIN_SECONDS = 4.0
# What was on its way when we stopped listening arrives within this.
LINGER_SECONDS = 0.1
# Sockets, database, log: descriptors that are not connections.
SPARE_FDS = 56


class Server:
    """One policyd process."""

    def __init__(self, path: Path, settings: Settings, listeners: list[socket.socket]) -> None:
        self._listeners = listeners
        self._settings = settings
        self._store = Store(settings.store.url)
        self._usage = open_counters(self._store)
        directory = Directory(self._store, settings)
        self._refresher = Refresher(directory)
        self._facts = Facts(settings, directory)
        self._stopping = asyncio.Event()
        self._reloader = Reloader(path, self._use)
        self._service: Service | None = None

    async def run(self) -> None:
        """Serve until SIGTERM."""
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._refresher.refresh, time.monotonic())
        if not self._facts.directory.loaded:
            log.warning(
                event("accounts-unknown", reason="store away: largest limits, no exemptions")
            )
        self._refresher.start()
        service = Service(
            self._facts,
            self._usage,
            loop=loop,
            max_connections=min(MAX_CONNECTIONS, descriptors() - SPARE_FDS),
        )
        self._service = service
        service.start()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGINT, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reloader.request)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        servers = [
            await loop.create_server(service.connection, sock=listener, backlog=BACKLOG)
            for listener in self._listeners
        ]
        log.info(event("ready", listen=" ".join(map(address_of, self._listeners))))
        notify("READY=1")
        await self._stopping.wait()
        log.info(event("stopping"))
        notify("STOPPING=1")
        await self._drain(servers, service)

    async def _drain(self, servers: list[asyncio.Server], service: Service) -> None:
        for each in servers:
            each.close()
        loop = asyncio.get_running_loop()
        end = loop.time() + DRAIN_SECONDS
        await asyncio.sleep(LINGER_SECONDS)
        for connection in service.connections:
            connection.hold()  # who goes on asking must not keep us
        while service.busy and loop.time() < end:  # noqa: ASYNC110 - once in a process's life
            await asyncio.sleep(0.01)
        for connection in tuple(service.connections):
            connection.close()
        await asyncio.sleep(0)
        self._refresher.stop()
        await asyncio.to_thread(service.stop)
        await asyncio.to_thread(self._store.close)
        log.info(event("stopped"))

    async def _use(self, settings: Settings) -> None:
        fixed = ("store", "policyd")
        if any(getattr(settings, key) != getattr(self._settings, key) for key in fixed):
            log.warning(event("restart-needed", reason="[store] or [policyd] changed"))
        # Keeps the rows in memory: settings change even while the store is unavailable.
        directory = await asyncio.to_thread(self._refresher.directory.under, settings)
        self._refresher.directory = directory
        self._facts = Facts(settings, directory)
        if self._service is not None:
            self._service.under(self._facts)


def descriptors() -> int:
    """Raise our limit of open files as far as we may; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + SPARE_FDS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def serve(path: Path, settings: Settings) -> None:
    """Serve *settings*, which were read from *path*, until SIGTERM."""
    # A signal that comes before its handler is installed waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    listeners = open_listeners(settings.policyd.listen)
    uvloop.run(Server(path, settings, listeners).run())
