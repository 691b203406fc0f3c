"""The milter process: start, drain on SIGTERM, reload on SIGHUP.

libmilter runs in a thread of its own, so that signals reach Python here in the
main thread. On SIGTERM the socket's name goes first (no new connection), messages
under way are finished, those that begin meanwhile get a 451, then libmilter stops.
"""

import ctypes
import logging
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from config.daemon.logs import fields
from config.daemon.start_fault import is_news
from config.daemon.systemd import notify
from config.loader import ConfigError, load
from config.settings import Settings
from config.units import Address
from milters import adapter
from milters.service import Service
from milters.spamd import DEADLINE

log = logging.getLogger("milter")
# Whose message is still coming in after this gets a 451 from Postfix and sends it
# again: a slow stranger must not hold up a restart.
DRAIN_SECONDS = 8
JUDGE_SECONDS = DEADLINE + 5  # a scan under way may take its whole deadline
START_SECONDS = 10
STOP_SECONDS = 10  # libmilter notices a stop within 3 s
SOCKET_UMASK = 0o117  # 0660: Postfix is in the socket's group
_POLL_SECONDS = 0.05
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # malloc.h
_LARGE = 128 << 10  # glibc's first threshold, which else grows with what is freed


def run(path: Path, settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. *path* is read again on SIGHUP."""
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _into(signals))
    _one_heap()
    service = Service(settings)
    address = settings.milter.listen
    adapter.prepare(service, address)
    libmilter = threading.Thread(target=_serve, args=(address,), name="libmilter", daemon=True)
    mask = os.umask(SOCKET_UMASK)
    libmilter.start()
    listening = _wait_until_listening(address, libmilter)
    os.umask(mask)
    if not listening:
        line = fields(event="cannot-listen", address=address)
        if is_news(line):
            log.error(line)
        return os.EX_UNAVAILABLE
    log.info(fields(event="listening", address=address))
    notify("READY=1")
    code = _until_stopped(signals, libmilter, service, path)
    notify("STOPPING=1")
    _stop(service, libmilter, address)
    return code


def _one_heap() -> None:
    """Keep glibc from giving each of libmilter's threads a heap of its own (mallopt(3)).

    With one thread a message they grow to 5 MiB that nobody uses; under the
    interpreter's lock a second heap gains no time. What is large, as the part of a mail
    that spamd gets, stays outside of it, so that it goes back to the system at once.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc; musl has neither the function nor the heaps
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)


def _into(signals: "queue.SimpleQueue[int]") -> Callable[[int, FrameType | None], None]:
    def handler(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's interface
        signals.put(number)

    return handler


def _until_stopped(
    signals: "queue.SimpleQueue[int]", libmilter: threading.Thread, service: Service, path: Path
) -> int:
    while libmilter.is_alive():
        try:
            # Not for ever: a signal handler runs only when the main thread is awake.
            number = signals.get(timeout=1)
        except queue.Empty:
            continue
        if number != signal.SIGHUP:
            return os.EX_OK
        _reload(service, path)
    log.error(fields(event="libmilter-ended"))
    return os.EX_SOFTWARE


def _reload(service: Service, path: Path) -> None:
    notify("RELOADING=1")
    try:
        service.reload(load(path))
    except ConfigError as error:
        log.error(fields(event="reload", kept="old settings", error=error))  # noqa: TRY400 - no bug
    else:
        log.info(fields(event="reload"))
    notify("READY=1")


def _stop(service: Service, libmilter: threading.Thread, address: Address) -> None:
    if address.kind == "unix":
        Path(address.path).unlink(missing_ok=True)
    if not service.drain(sending=DRAIN_SECONDS, judged=JUDGE_SECONDS):
        log.warning(fields(event="stop", messages="still under way"))
    adapter.stop()
    libmilter.join(STOP_SECONDS)
    service.close()
    log.info(fields(event="stopped"))


def _serve(address: Address) -> None:
    try:
        adapter.serve(address)
    except adapter.Error as error:
        log.error(fields(event="libmilter", error=error))  # noqa: TRY400 - its text is all


def _wait_until_listening(address: Address, libmilter: threading.Thread) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while libmilter.is_alive() and time.monotonic() < deadline:
        if _answers(address):
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _answers(address: Address) -> bool:
    try:
        if address.kind == "unix":
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(address.path)
        else:
            socket.create_connection((address.host, address.port), timeout=1).close()
    except OSError:
        return False
    return True
