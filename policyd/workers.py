"""One process, or a parent that keeps several alive and passes signals on.

The parent opens the sockets, forks, and then only waits: it has no thread and no
connection to the store when it forks. A worker that dies is replaced; the
questions it had are asked again by Postfix. systemd hears that we are ready once
each worker serves.
"""

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Never

from config.daemon.events import event
from config.daemon.listen import listening, name_of
from config.daemon.parent import end_with
from config.daemon.systemd import notify
from config.settings import Settings
from policyd.server import SIGNALS, Lifecycle, serve

log = logging.getLogger("policyd")
# A worker that dies at once must not become a fork bomb.
REST_SECONDS = 0.5


def run(path: Path, settings: Settings) -> int:
    """Serve *settings* (read from *path*) until SIGTERM; return the exit code."""
    # A reload or a stop that comes before the handlers are there waits for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    sets = listening(settings.policyd.listen, workers=settings.policyd.workers)

    def ready() -> None:
        listen = " ".join(map(name_of, sets[0]))
        log.info(event("ready", listen=listen, workers=len(sets)))
        notify("READY=1")

    if len(sets) == 1:
        serve(path, settings, sets[0], Lifecycle(ready, _stopping))
        return 0
    return _Parent(path, settings, sets).run(ready)


def _stopping() -> None:
    notify("STOPPING=1")


def _say_nothing() -> None:
    """Leave it to the parent."""


class _Parent:
    """Forks a worker for each set of sockets and looks after them."""

    def __init__(self, path: Path, settings: Settings, sets: list[list[socket.socket]]) -> None:
        self._path = path
        self._settings = settings
        self._sets = sets
        self._workers: dict[int, int] = {}  # process id → which set of sockets
        self._starting: int | None = None  # our end of a pipe while the first workers start
        self._stopping = False

    def run(self, ready: Callable[[], None]) -> int:
        """Keep the workers until SIGTERM; return the worst of their exit codes."""
        for number in SIGNALS:
            signal.signal(number, self._pass_on)
        ended, self._starting = os.pipe()
        for which in range(len(self._sets)):
            self._fork(which)
        os.close(self._starting)
        self._starting = None
        os.read(ended, 1)  # until the last worker has closed its end: it serves, or died
        os.close(ended)
        if not self._stopping:
            ready()
        code = 0
        while self._workers:
            code = max(code, self._wait())
        return code

    def _fork(self, which: int) -> None:
        """Start a worker, with signals held back: none may miss it, nor be its to pass on."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        if not self._stopping:
            parent = os.getpid()
            process = os.fork()
            if not process:
                self._work(which, parent)
            self._workers[process] = which
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _work(self, which: int, parent: int) -> Never:
        code = 1
        try:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            end_with(parent)
            tell = Lifecycle(self._serving, _say_nothing)
            serve(self._path, self._settings, self._sets[which], tell)
            code = 0
        except Exception:  # the edge of a process: what is not caught here is lost
            log.exception("worker failed")
        finally:
            sys.stderr.flush()
            os._exit(code)  # the parent's exit handlers are not ours

    def _serving(self) -> None:
        """Tell the parent, if it waits for us."""
        if self._starting is not None:
            os.close(self._starting)

    def _wait(self) -> int:
        """Wait for a worker to end; replace it unless all shall end."""
        process, status = os.wait()
        which = self._workers.pop(process, None)
        code = os.waitstatus_to_exitcode(status)
        if self._stopping or which is None:
            return 1 if code else 0
        log.error(event("service-ended", process=process, code=code))
        time.sleep(REST_SECONDS)
        self._fork(which)
        return 0

    def _pass_on(self, number: int, _frame: object) -> None:
        if number != signal.SIGHUP:
            self._stopping = True
            notify("STOPPING=1")
        for process in self._workers:
            with contextlib.suppress(ProcessLookupError):  # it ended a moment ago
                os.kill(process, number)
