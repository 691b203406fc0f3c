"""Requests refunds for messages that were not accepted; a thread writes them to the store.

While the store is unavailable, up to `MAX_WAITING` requests wait here; no mail waits for them.
"""

import logging
import threading
import time
from collections import deque

from config.daemon.events import event
from config.units import Monotonic
from store.engine import Store
from store.errors import StoreUnavailable
from store.limits.refund import RefundRequest, name_of, request

log = logging.getLogger("milter")
# Some 100 bytes each: enough for an hour without the store at three dropped messages a second.
MAX_WAITING = 10_000
# Rows in one transaction.
BATCH = 500
RETRY_SECONDS = 1.0
# The last try before the process ends.
STOP_SECONDS = 2.0


class RefundRequests:
    """Queue of refund requests and the thread that writes them. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[RefundRequest] = deque()
        self._lost = 0
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="refunds", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread after one last try."""
        self._stopping = True
        self._wake.set()
        self._thread.join(STOP_SECONDS)
        if lost := self._lost + len(self._waiting):
            log.warning(event("refunds-lost", messages=lost))

    def add(self, queue_id: str, client: str, since: Monotonic) -> None:
        """Request a refund for message *queue_id*, which began after *since* (monotonic)."""
        if len(self._waiting) >= MAX_WAITING:
            self._lost += 1
            return
        self._waiting.append(RefundRequest(name_of(queue_id, client), since, time.monotonic()))
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            is_done = self._write()
            if self._stopping:
                return
            if not is_done:
                time.sleep(RETRY_SECONDS)
                self._wake.set()

    def _write(self) -> bool:
        """Write the waiting requests; return whether all were written."""
        while self._waiting:
            batch = [self._waiting[n] for n in range(min(BATCH, len(self._waiting)))]
            try:
                request(self._store, batch)
            except StoreUnavailable:
                return False
            except Exception:  # a bug must not end the thread
                log.exception(event("bug", at="refund"))
            for _ in batch:
                self._waiting.popleft()
        return True
