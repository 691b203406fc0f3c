"""Keeps the memory copy of accounts and exemptions current, and logs when it cannot.

During an outage the copy stays, without new suspensions and exemptions, so the operator should
know; a restart of the database is not worth a line.
"""

import logging
import threading
import time

from config.daemon.logs import fields
from store.errors import StoreUnavailable
from store.memory.directory import Directory

log = logging.getLogger(__name__)
# R18: a change by another process takes effect within 2 s; policyd's cache of requesters takes
# one of them.
REFRESH_SECONDS = 0.5
# A database restarts faster.
STALE_SECONDS = 10.0


class Refresher(threading.Thread):
    """The thread that refreshes `directory`."""

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
        except Exception as error:  # a bug must not end the thread
            if self._failing_since is None:
                log.exception("refreshing failed")
            self._failed(now, error)
        else:
            if self._warned:
                log.warning(fields(event="refresh-back"))
            self._failing_since, self._warned = None, False

    def stop(self) -> None:
        """End the thread soon; does not wait for it."""
        self._stopped.set()

    def _failed(self, now: float, error: Exception) -> None:
        if self._failing_since is None:
            self._failing_since = now
        if not self._warned and now - self._failing_since >= STALE_SECONDS:
            self._warned = True
            log.warning(fields(event="refresh-failing", seconds=STALE_SECONDS, reason=error))
