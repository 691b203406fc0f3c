"""The milter process: start, drain on SIGTERM, reload on SIGHUP.

The life of one mail:

    Connection.envfrom      Service.admit, or 451 BUSY; Service.begin → Message
    Connection.envrcpt      Message.recipient, as written and as Postfix resolves it
    Connection.header       Message.header → SpamCheck.header
    Connection.body         Message.body → AttachmentCheck.body (Scanner.feed), SpamCheck.body;
                            SKIP once no more of the body is needed
    Connection.eom          Message.verdict → Accept | Refuse:
      AttachmentCheck.over  the limits exceeded: 552, or leave those recipients out (dsn, Postman)
      SpamCheck.verdict     Spamd.scan → the X-Spam-* edits and the subject tag
    Connection._say         the reply, or the edits, to Postfix
    Connection._reset       not accepted: Service.not_accepted → RefundRequests → store

libmilter runs in a thread of its own, so that signals reach Python in the main thread. On
SIGTERM the socket is unlinked first (no new connection), messages in progress are finished,
those that begin meanwhile get a 451, then libmilter stops.
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

from config.daemon.events import event
from config.daemon.reload import read_again
from config.daemon.start_fault import is_news
from config.daemon.systemd import notify
from config.settings import Settings
from config.units import Address
from milters import adapter
from milters.service import Service
from milters.spamd import DEADLINE

log = logging.getLogger("milter")
# A client still sending after this gets a 451 from Postfix and tries again: a slow sender
# must not hold up a restart.
DRAIN_SECONDS = 8
SCAN_SECONDS = DEADLINE + 5  # a scan in progress may take its whole deadline
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
        line = event("cannot-listen", address=address)
        if is_news(line):
            log.error(line)
        return os.EX_UNAVAILABLE
    log.info(event("ready", listen=address))
    notify("READY=1")
    code = _until_stopped(signals, libmilter, service, path)
    notify("STOPPING=1")
    _stop(service, libmilter, address)
    return code


def _one_heap() -> None:
    """Keep glibc from giving each of libmilter's threads a heap of its own (mallopt(3)).

    With a thread for each message they grow to 5 MiB of unused memory; under the
    interpreter's lock a second heap gains no time. Large blocks, such as the part of a mail
    that spamd gets, stay outside the heap, so that they return to the system at once.
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
    log.error(event("libmilter-ended"))
    return os.EX_SOFTWARE


def _reload(service: Service, path: Path) -> None:
    notify("RELOADING=1")
    settings = read_again(path)
    if settings is not None:
        try:
            service.reload(settings)
        except Exception:  # the edge: the next SIGHUP must work
            log.exception(event("bug", at="reload"))
        else:
            log.info(event("reloaded"))
    notify("READY=1")


def _stop(service: Service, libmilter: threading.Thread, address: Address) -> None:
    if address.kind == "unix":
        Path(address.path).unlink(missing_ok=True)
    if not service.drain(sending=DRAIN_SECONDS, scanning=SCAN_SECONDS):
        log.warning(event("drain-timeout", reason="messages still in progress"))
    adapter.stop()
    libmilter.join(STOP_SECONDS)
    service.close()
    log.info(event("stopped"))


def _serve(address: Address) -> None:
    try:
        adapter.serve(address)
    except adapter.Error as error:
        log.error(event("libmilter-failed", reason=error))  # noqa: TRY400 - its text is all


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
