"""The policyd process: sockets, signals, a clean start and end.

The life of one request:

    Connections.create         a Connection for each smtpd that connects
    Connection.data_received   bytes → Decoder.feed → request.parse → Request
    Service.decide             → decide.decide: requester_of, then RULES, then charge_of
      Decision                 no limit is concerned: the reply is written at once
      Charge                   Committer.submit: waits for the next transaction
    StoreThread                Counters.charge settles a batch of charges in one transaction;
                               while the store is unavailable, Circuit.answer does it locally
    Question.settle            → Service.finish_charge: the action, its log line, the tally
    Connection.flush           protocol.encode → replies in the order of the requests

SIGTERM drains: no new connections, every complete request is answered, exit 0 within
`DRAIN_SECONDS`. SIGHUP reads the settings again (`config.daemon.reload`).
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
from policyd.connections import MAX_CONNECTIONS, Connections
from policyd.facts import Facts
from policyd.service import Service
from store.engine import Store
from store.limits.open import open_counters
from store.memory.directory import Directory
from store.memory.refresher import Refresher

log = logging.getLogger("policyd")
# Blocked from the start of the process until the loop handles them (`policyd.__main__`).
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Less than `DEADLINE_SECONDS` of a connection, and than systemd's TimeoutStopSec.
DRAIN_SECONDS = 4.0
# Requests that were sent before the listeners closed arrive within this time.
LINGER_SECONDS = 0.1
# File descriptors that are not connections: listeners, database, log.
SPARE_FDS = 56


class Server:
    """One policyd process."""

    def __init__(self, path: Path, settings: Settings, listeners: list[socket.socket]) -> None:
        self._listeners = listeners
        self._settings = settings
        self._store = Store(settings.store.url)
        self._counters = open_counters(self._store)
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
            reason = "store unavailable: largest limits, no exemptions"
            log.warning(event("accounts-unknown", reason=reason))
        self._refresher.start()
        service = self._service = Service(self._facts, self._counters, loop=loop)
        limit = min(MAX_CONNECTIONS, raise_descriptor_limit() - SPARE_FDS)
        connections = Connections(service, limit=limit)
        service.start()
        connections.start()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGINT, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reloader.request)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        servers = [
            await loop.create_server(connections.create, sock=listener, backlog=BACKLOG)
            for listener in self._listeners
        ]
        log.info(event("ready", listen=" ".join(map(address_of, self._listeners))))
        notify("READY=1")
        await self._stopping.wait()
        log.info(event("stopping"))
        notify("STOPPING=1")
        for server in servers:
            server.close()
        await self._drain(connections, service)
        log.info(event("stopped"))

    async def _drain(self, connections: Connections, service: Service) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + DRAIN_SECONDS
        await asyncio.sleep(LINGER_SECONDS)
        connections.hold()  # a peer that keeps asking must not delay the end
        while not service.committer.idle or connections.waiting:
            if loop.time() >= end:
                break
            await asyncio.sleep(0.01)
        connections.stop()
        await asyncio.sleep(0)
        self._refresher.stop()
        await asyncio.to_thread(service.stop)
        await asyncio.to_thread(self._store.close)

    async def _use(self, settings: Settings) -> None:
        fixed = ("store", "policyd")
        if any(getattr(settings, key) != getattr(self._settings, key) for key in fixed):
            log.warning(event("restart-needed", reason="[store] or [policyd] changed"))
        # Keeps the rows in memory: settings change even while the store is unavailable.
        directory = await asyncio.to_thread(self._refresher.directory.with_settings, settings)
        self._refresher.directory = directory
        self._facts = Facts(settings, directory)
        if self._service is not None:
            self._service.use(self._facts)


def raise_descriptor_limit() -> int:
    """Raise the limit of open files as far as needed and permitted; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + SPARE_FDS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


def serve(path: Path, settings: Settings) -> None:
    """Serve *settings*, which were read from *path*, until SIGTERM."""
    listeners = open_listeners(settings.policyd.listen)
    uvloop.run(Server(path, settings, listeners).run())
