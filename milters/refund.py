"""Have what was not accepted given back: written down in the store by a thread of its own.

While the store is away the messages wait here, as many as `MAX_WAITING`; nobody's
mail waits for it.
"""

import logging
import threading
import time
from collections import deque

from config.daemon.logs import fields
from store.engine import Store
from store.errors import StoreUnavailable
from store.limits.refund import Dropped, ask, name_of

log = logging.getLogger("milter")
# Some 100 bytes each: an hour without the store, with three dropped a second.
MAX_WAITING = 10_000
# Rows of one transaction.
BATCH = 500
RETRY_SECONDS = 1.0
# The last try before the process ends.
STOP_SECONDS = 2.0


class GiveBacks:
    """Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[Dropped] = deque()
        self._lost = 0
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="giving", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after a last try."""
        self._stopping = True
        self._wake.set()
        self._thread.join(STOP_SECONDS)
        if lost := self._lost + len(self._waiting):
            log.warning(fields(event="not-given-back", messages=lost))

    def add(self, queue_id: str, client: str, since: float) -> None:
        """Have the message *queue_id* given back, which began after a monotonic time."""
        if len(self._waiting) >= MAX_WAITING:
            self._lost += 1
            return
        self._waiting.append(Dropped(name_of(queue_id, client), since, time.monotonic()))
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            told = self._tell()
            if self._stopping:
                return
            if not told:
                time.sleep(RETRY_SECONDS)
                self._wake.set()

    def _tell(self) -> bool:
        """Write down what waits; return whether all of it is."""
        while self._waiting:
            batch = [self._waiting[n] for n in range(min(BATCH, len(self._waiting)))]
            try:
                ask(self._store, batch)
            except StoreUnavailable:
                return False
            except Exception:  # a bug of ours must not end the thread
                log.exception("writing down what is to be given back failed")
            for _ in batch:
                self._waiting.popleft()
        return True
