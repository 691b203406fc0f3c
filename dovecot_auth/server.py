"""The authd process: sockets, signals, start and end.

The life of one login:

1. `checkpassword.client._ask` or ``passdb.lua`` sends POST /verify to a socket of `Server`.
2. `Connections.admit` takes the connection; `_Connection.data_received` feeds `http.Decoder`.
3. `Service.answer` picks the route, and `Service._verify` makes the form a `Login`.
4. `Verifier._read` has a thread run `Checker.begin`: `attempt` reads account and budgets, and
   the `PasswordCache` may know the password already.
5. `Checker.admit` counts the check against its budgets, or `Verifier._wait_for_others`.
6. A hashing thread runs `Checker.decide`; `RefusalDelay.learn` takes its time.
7. `Verifier._charge_failure` has a wrong password charged by `Checker.charge`.
8. `Verifier.verify` logs the result and holds a refusal back until `RefusalDelay.seconds`.
9. `http.encode` writes the answer; `protocol.conclude` becomes Dovecot's reply program.
10. In the background `Checker.finish` stores the known network and an upgraded hash.

SIGTERM finishes what is in progress and exits 0. SIGHUP reads the settings again and keeps
the old ones when the new are bad; local failures, cached passwords and logins in progress
survive it.
"""

import asyncio
import logging
import signal
import socket
from pathlib import Path

from config.daemon import systemd
from config.daemon.callers import Callers
from config.daemon.events import event
from config.daemon.listen import BACKLOG, address_of, open_listeners
from config.daemon.reload import Reloader
from config.settings import Settings
from dovecot_auth.check import Checker
from dovecot_auth.connections import Connections
from dovecot_auth.service import Service
from store.engine import Store

log = logging.getLogger(__name__)


class Server:
    """One authd process; its settings were read from *path*."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._settings = settings
        self._reloader = Reloader(path, self._use)
        self._checker = Checker(Store(settings.store.url), settings)
        self._callers = Callers(settings.auth.callers)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGINT, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reloader.request)
        service = Service(self._checker)
        sockets = open_listeners(self._settings.auth.listen)
        # Each listener has its own cap: filling one does not close the other.
        edges = [Connections(service, self._callers) for _ in sockets]
        servers = [await _serve(*pair) for pair in zip(edges, sockets, strict=True)]
        log.info(event("ready", listen=" ".join(map(address_of, sockets))))
        systemd.notify("READY=1")
        await self._stopping.wait()
        log.info(event("stopping"))
        systemd.notify("STOPPING=1")
        for server in servers:
            server.close()
        await asyncio.gather(*(edge.drain() for edge in edges))
        await service.close()
        if self._callers.refused:
            log.warning(event("callers-refused", connections=self._callers.refused.total()))
        log.info(event("stopped"))

    async def _use(self, settings: Settings) -> None:
        if settings.auth.listen != self._settings.auth.listen:
            log.warning(event("restart-needed", reason="auth.listen changed"))
        # In a thread: looking users up and closing connections take time, and logins go on.
        await asyncio.to_thread(self._callers.allow, settings.auth.callers)
        # Always a new store: the file or the server behind the same URL may be another.
        old = self._checker.use(Store(settings.store.url), settings)
        await asyncio.to_thread(old.close)  # a connection in use ends when it is returned


async def _serve(connections: Connections, listener: socket.socket) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    if listener.family == socket.AF_UNIX:
        return await loop.create_unix_server(connections.new, sock=listener, backlog=BACKLOG)
    return await loop.create_server(connections.new, sock=listener, backlog=BACKLOG)
