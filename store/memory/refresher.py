"""Keeps the memory copy of people and exemptions fresh, and says when it cannot.

While the store is away the copy stays. Who is suspended or exempted meanwhile is
not known here, so a person should hear of it: not of a restart, but of an outage.
"""

import logging
import threading
import time

from config.daemon.logs import fields
from store.errors import StoreUnavailable
from store.memory.directory import Directory

log = logging.getLogger(__name__)
# R18: what another process registers holds within 2 s; a second of them is what
# `Facts.standing` may remember.
REFRESH_SECONDS = 0.5
# A database restarts in less.
STALE_SECONDS = 10.0


class Refresher(threading.Thread):
    """The thread, and what it knows of the store."""

    def __init__(self, directory: Directory) -> None:
        super().__init__(name="refresher", daemon=True)
        self.directory = directory
        self._stopped = threading.Event()
        self._failing_since: float | None = None
        self._warned = False

    def run(self) -> None:
        """Refresh until stopped."""
        while not self._stopped.wait(REFRESH_SECONDS):
            self.refresh(time.monotonic())

    def refresh(self, now: float) -> None:
        """Refresh once; *now* is a monotonic time."""
        try:
            self.directory.refresh()
        except StoreUnavailable as error:
            self._failed(now, error)
        except Exception as error:  # a bug in one refresh must not end the refreshing
            if self._failing_since is None:
                log.exception("refreshing failed")
            self._failed(now, error)
        else:
            if self._warned:
                log.warning(fields(event="refresh-back"))
            self._failing_since, self._warned = None, False

    def stop(self) -> None:
        """End the thread soon."""
        self._stopped.set()

    def _failed(self, now: float, error: Exception) -> None:
        if self._failing_since is None:
            self._failing_since = now
        if not self._warned and now - self._failing_since >= STALE_SECONDS:
            self._warned = True
            log.warning(fields(event="refresh-failing", seconds=STALE_SECONDS, reason=error))
