"""A supervisor for small sites and the demo: each service is a child process.

A child that ends is started again, after a longer pause each time it ends soon. SIGTERM and
SIGINT go to every child, and the supervisor ends when the last has drained; SIGHUP goes to
every child (reload). Sockets that systemd opened go to the one service that takes them. systemd
does all this better: larger sites use the units.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

from config.daemon.events import event
from config.daemon.logs import setup
from config.daemon.parent import end_with
from config.daemon.systemd import inherited_fds, notify

log = logging.getLogger(__name__)

MODULES = {"policyd": "policyd", "milter": "milters", "authd": "dovecot_auth"}
# Services that accept sockets opened before their start. libmilter opens its own.
TAKES_SOCKETS = ("policyd", "authd")
# LISTEN_PID must be the process that takes the sockets (sd_listen_fds(3)), which only the child
# itself knows.
_TAKE = ("/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh")
# policyd and authd drain within 5 s, the milter within 35 (a scan by spamd takes up to
# 20); a service that still runs then is stuck.
DRAIN_SECONDS = 45
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
YOUNG = 60.0  # a service that ran longer than this is started again at once
TICK = 0.1
# Ended by a signal that no operator sends: the milter may read past a malformed packet.
_CRASHES = frozenset({-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGILL})


def _channel() -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    channel.bind("")  # the kernel picks an abstract name (unix(7), autobind)
    channel.setblocking(False)
    return channel


@dataclass(slots=True)
class _Child:
    service: str
    path: Path
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    pause: float = FIRST_PAUSE
    not_before: float = 0.0
    ready: bool = False
    sockets: range = range(0)  # descriptors that it shall listen on
    channel: socket.socket = field(default_factory=_channel)

    def start(self, now: float) -> None:
        command = [sys.executable, "-I", "-m", MODULES[self.service], "--config", str(self.path)]
        # The child notifies us as it would systemd (config.daemon.systemd).
        address = "@" + self.channel.getsockname()[1:].decode()
        environment = {**os.environ, "NOTIFY_SOCKET": address}
        if self.sockets:
            command = [*_TAKE, *command]
            environment["LISTEN_FDS"] = str(len(self.sockets))
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            env=environment,
            pass_fds=self.sockets,
            preexec_fn=partial(end_with, os.getpid()),  # noqa: PLW1509 - one thread
        )
        self.started = now
        log.info(event("service-started", service=self.service, pid=self.process.pid))

    def read_notifications(self) -> None:
        """Read all that the child sent: with a full buffer, its next notification would block."""
        with suppress(BlockingIOError):
            while message := self.channel.recv(4096):
                self.ready = self.ready or b"READY=1" in message

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def reap(self, now: float) -> int | None:
        """Return the exit code if the child has just ended, and plan its next start."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        self.process = None
        if code in _CRASHES:
            # A stranger's bytes may have caused it: a longer pause each time would help him.
            self.not_before = now + FIRST_PAUSE
            return code
        young = now - self.started < YOUNG
        self.not_before = now + (self.pause if young else 0.0)
        self.pause = min(self.pause * 2, LONGEST_PAUSE) if young else FIRST_PAUSE
        return code


@dataclass(slots=True)
class _Requests:
    """What signals requested since the last look."""

    stop: bool = False
    reload: bool = False

    def on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop = True

    def on_reload(self, _number: int, _frame: FrameType | None) -> None:
        self.reload = True


def run(services: tuple[str, ...], path: Path) -> int:
    """Run *services* with the configuration *path* until SIGTERM; return the exit code.

    A service that refuses its configuration (78) ends all: starting it again cannot help.
    """
    setup("gatepost")
    requests = _Requests()
    signal.signal(signal.SIGTERM, requests.on_stop)
    signal.signal(signal.SIGINT, requests.on_stop)
    signal.signal(signal.SIGHUP, requests.on_reload)
    children = [_Child(service, path) for service in services]
    _pass_sockets(inherited_fds(), children)
    notified = False
    code = 0
    while not requests.stop:
        now = time.monotonic()
        if requests.reload:
            requests.reload = False
            for child in children:
                child.signal(signal.SIGHUP)
        for child in children:
            ended = child.reap(now)
            if ended is not None:
                log.error(event("service-ended", service=child.service, code=ended))
            if ended == os.EX_CONFIG:
                code, requests.stop = os.EX_CONFIG, True
            elif child.process is None and now >= child.not_before:
                child.start(now)
            child.read_notifications()
        if not notified and all(child.ready for child in children):
            notified = True
            notify("READY=1")
        time.sleep(TICK)
    notify("STOPPING=1")
    drained = _drain(children)
    return code or drained


def _pass_sockets(sockets: range, children: list[_Child]) -> None:
    """Pass *sockets* to the first child that takes some, or log why none does."""
    if not sockets:
        return
    taking = [child for child in children if child.service in TAKES_SOCKETS]
    if taking:
        taking[0].sockets = sockets
        log.info(event("sockets-passed", service=taking[0].service, sockets=len(sockets)))
    else:
        reason = f"only {' and '.join(TAKES_SOCKETS)} take them"
        log.warning(event("sockets-ignored", sockets=len(sockets), reason=reason))


def _drain(children: list[_Child]) -> int:
    for child in children:
        child.signal(signal.SIGTERM)
    end = time.monotonic() + DRAIN_SECONDS
    code = 0
    for child in children:
        if child.process is None:
            continue
        try:
            ended = child.process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            line = event("service-killed", service=child.service, after=f"{DRAIN_SECONDS}s")
            log.error(line)  # noqa: TRY400 - the traceback of a timeout adds nothing
            child.process.kill()
            ended = child.process.wait()
        code = code or (1 if ended else 0)
    return code
