"""What the connections share: the settings, the limits, spamd, and the count of messages."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network

from config.daemon.events import event
from config.settings import Settings
from config.units import Monotonic, Seconds
from milters.dependencies import Dependencies
from milters.envelope import Envelope
from milters.message import Message
from milters.postman import Postman
from milters.refund import RefundRequests
from milters.role_limits import RoleLimits
from milters.spam import Report
from milters.spamd import Spamd, SpamdUnavailable
from store.engine import Store
from store.memory.directory import Directory
from store.memory.refresher import Refresher

log = logging.getLogger("milter")
# Postfix has at most 100 processes per service by default, one message each: three smtpd
# services, and cleanup for sendmail(1). Each message occupies a libmilter thread, and a
# hostile one holds up to 1 MiB of header.
MAX_MESSAGES = 500
_POLL_SECONDS = 0.05


class Service:
    """Thread-safe. Messages in progress keep the settings they began with."""

    def __init__(self, settings: Settings) -> None:
        self._lock = threading.Lock()
        self._in_progress = 0
        self._scanning = 0  # of those in progress
        self._draining = False
        self._postman = Postman()
        self._spamd: Spamd | None = None
        self._open_store(settings)
        self._use(settings)

    def admit(self) -> bool:
        """Count a message in, unless there are too many or the milter is stopping."""
        with self._lock:
            if self._draining or self._in_progress >= MAX_MESSAGES:
                return False
            self._in_progress += 1
            return True

    def release(self) -> None:
        """Count a message out."""
        with self._lock:
            self._in_progress -= 1

    def not_accepted(self, queue_id: str, client: str, since: Monotonic) -> None:
        """Request a refund of what policyd charged; the message began after *since* (monotonic)."""
        self._refunds.add(queue_id, client, since)

    def begin(self, envelope: Envelope) -> Message:
        """Return a new message with the current settings."""
        return Message(envelope, self._dependencies)

    def trusts(self, client: str) -> bool:
        """Return whether the site trusts mail from the address *client* (spam.trusted)."""
        try:
            address = ip_address(client)
        except ValueError:  # "local": sendmail(1) on this machine
            return False
        return any(address in network for network in self._trusted)

    def reload(self, settings: Settings) -> None:
        """Use *settings* for every message that begins from now on."""
        old_spamd = self._spamd
        if settings.store.url == self._dependencies.settings.store.url:
            # Keeps the rows in memory: settings change even while the store is unavailable.
            self._refresher.directory = self._refresher.directory.with_settings(settings)
        else:
            old = self._store, self._refunds, self._refresher
            self._open_store(settings)
            # In a thread: a read or write in progress may take its whole deadline.
            threading.Thread(target=_close_store, args=old, name="old store", daemon=True).start()
        self._use(settings)
        if old_spamd is not None and old_spamd is not self._spamd:
            # In a thread: scans in progress may take their whole deadline.
            threading.Thread(target=old_spamd.close, name="old spamd", daemon=True).start()

    @contextmanager
    def scanning(self) -> Iterator[None]:
        """Count a message as complete: it awaits its verdict, not more bytes from its sender."""
        with self._lock:
            self._scanning += 1
        try:
            yield
        finally:
            with self._lock:
                self._scanning -= 1

    def drain(self, *, sending: Seconds, scanning: Seconds) -> bool:
        """Admit no more messages and wait for those in progress; return whether all ended.

        Waits *sending* seconds for those still coming in, *scanning* while any awaits its verdict.
        """
        self._draining = True
        start = time.monotonic()
        while self._in_progress:
            if time.monotonic() - start >= (scanning if self._scanning else sending):
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def close(self) -> None:
        """Stop the threads."""
        self._refunds.stop()
        self._refresher.stop()
        if self._spamd is not None:
            self._spamd.close()

    def _open_store(self, settings: Settings) -> None:
        self._store = Store(settings.store.url)
        self._refunds = RefundRequests(self._store)
        self._refunds.start()
        self._refresher = _refresher(self._store, settings)

    def _use(self, settings: Settings) -> None:
        limits = RoleLimits(self._refresher.directory, settings)
        address = settings.spam.spamd
        if self._spamd is None or self._spamd.address != address:
            self._spamd = Spamd(address) if address else None
        scan = self._scan if self._spamd else None
        self._dependencies = Dependencies(
            settings, limits, scan, self._notify, self._postman.is_ours
        )
        self._trusted = tuple(map(ip_network, settings.spam.trusted))

    def _notify(self, notice: bytes, to: str) -> None:
        self._postman.send(notice, to=to, through=self._dependencies.settings.site.smtp)

    def _scan(self, read: Callable[[], bytes]) -> Report:
        spamd = self._spamd  # the current one, also for messages that began before a reload
        if spamd is None:
            raise SpamdUnavailable("off")
        return spamd.scan(read)


def _close_store(store: Store, refunds: RefundRequests, refresher: Refresher) -> None:
    """Close *store* after its users; waiting refunds go there, where the messages were charged."""
    refresher.stop()
    refunds.stop()
    refresher.join()
    store.close()


def _refresher(store: Store, settings: Settings) -> Refresher:
    """Return a running refresher of the memory copy, after a first attempt to read the store."""
    refresher = Refresher(Directory(store, settings))
    refresher.refresh(time.monotonic())
    if not refresher.directory.loaded:
        log.warning(event("accounts-unknown", reason="store unavailable: largest limits"))
    refresher.start()
    return refresher
