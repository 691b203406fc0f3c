"""A server of the stack: a child process in the foreground, its output in a log file.

The kernel ends it when we end, however we end (PR_SET_PDEATHSIG): a killed test
run leaves no server behind.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Servers start in 0.1 to 3 s; parallel runs on two cores make that ten times longer.
START_SECONDS = 40.0
# The milter may take 5 s to drain, Dovecot 3 s.
STOP_SECONDS = 15.0
POLL_SECONDS = 0.02
_WITH_US = ("setpriv", "--pdeathsig", "TERM", "--")


class NotStarted(RuntimeError):  # noqa: N818 - it is what happened, not what is wrong
    """A server ended or stayed silent; the text holds the end of its log."""


@dataclass(slots=True)
class Process:
    """One server."""

    name: str
    command: Sequence[str]
    log: Path
    ready: Callable[[], bool]
    user: str | None = None
    group: str | None = None
    env: dict[str, str] | None = None
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def launch(self) -> None:
        """Start it; `wait` tells when it is ready."""
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [*_WITH_US, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is ours to handle
                user=self.user,
                group=self.group,
                extra_groups=[] if self.user or self.group else None,
                umask=0o007,
                env=self.env,
                cwd="/",
            )

    def wait(self) -> None:
        """Return when it is ready; raise `NotStarted`."""
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if not self.alive:
                raise NotStarted(f"{self.name} ended at start:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise NotStarted(f"{self.name} is not ready:\n{self.tail()}")
            time.sleep(POLL_SECONDS)

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.launch()
        self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send *number* to the server."""
        if self._child and self._child.poll() is None:
            self._child.send_signal(number)

    def stop(self) -> int | None:
        """Ask it to end, wait, then insist; return its exit code."""
        self.signal(signal.SIGTERM)
        return self._reap(STOP_SECONDS)

    def kill(self) -> None:
        """Kill it, as a crash would."""
        self.signal(signal.SIGKILL)
        self._reap(STOP_SECONDS)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._child is None:
            raise NotStarted(f"{self.name} was never started")
        return self._child.pid

    def tail(self, lines: int = 25) -> str:
        """Return the last *lines* of its log."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _reap(self, seconds: float) -> int | None:
        if self._child is None:
            return None
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            # Its session, not only itself: it may hold children that hold our ports.
            os.killpg(self._child.pid, signal.SIGKILL)
            return self._child.wait(seconds)
