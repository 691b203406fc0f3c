"""What the connections share: the settings, the limits, spamd, and the count of messages."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network

from config.settings import Settings
from milters.envelope import Envelope
from milters.message import Dependencies, Message
from milters.postman import Postman
from milters.refund import GiveBacks
from milters.role_limits import RoleLimits
from milters.spam import Report
from milters.spamd import Spamd, SpamdUnavailable
from store.engine import Store
from store.memory.directory import Directory

log = logging.getLogger("milter")
# Postfix has at most 100 processes a service by default, one message each: three
# services of smtpd, and cleanup for sendmail(1). Each busy one has a thread of
# libmilter's, and may hold 1 MiB of header if somebody means us harm.
MAX_MESSAGES = 500
_POLL_SECONDS = 0.05


class Service:
    """Thread-safe. Messages under way keep the settings they began with."""

    def __init__(self, settings: Settings) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._judged = 0  # of those under way
        self._draining = False
        self._postman = Postman()
        self._spamd: Spamd | None = None
        store = Store(settings.store.url)
        self._give_backs = GiveBacks(store)
        self._give_backs.start()
        self._use(settings, RoleLimits(Directory(store, settings), settings))

    def admit(self) -> bool:
        """Count a message in, unless there are too many or we are about to stop."""
        with self._lock:
            if self._draining or self._under_way >= MAX_MESSAGES:
                return False
            self._under_way += 1
            return True

    def release(self) -> None:
        """Count a message out."""
        with self._lock:
            self._under_way -= 1

    def not_accepted(self, queue_id: str, client: str, since: float) -> None:
        """Give back what policyd charged for a message, which began after a monotonic time."""
        self._give_backs.add(queue_id, client, since)

    def begin(self, envelope: Envelope) -> Message:
        """Return a new message with the settings of this moment."""
        return Message(envelope, self._tools)

    def trusts(self, client: str) -> bool:
        """Return whether the site believes in mail from the address *client*."""
        try:
            address = ip_address(client)
        except ValueError:  # "local": sendmail(1) on this machine
            return False
        return any(address in network for network in self._trusted)

    def reload(self, settings: Settings) -> None:
        """Use *settings* for every message that begins from now on."""
        limits, spamd = self._limits, self._spamd
        if settings.store.url == self._tools.settings.store.url:
            new = limits.under(settings)  # roles are known also while the store is away
        else:
            store = Store(settings.store.url)
            new = RoleLimits(Directory(store, settings), settings)
            # What waits for the old store is told to it: it was charged there.
            old, self._give_backs = self._give_backs, GiveBacks(store)
            self._give_backs.start()
            old.stop()
        self._use(settings, new)
        limits.stop()
        if spamd is not None and spamd is not self._spamd:
            # Not here: scans under way may take their whole deadline.
            threading.Thread(target=spamd.close, name="old spamd", daemon=True).start()

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Count a message as whole: it waits for us, not we for its sender."""
        with self._lock:
            self._judged += 1
        try:
            yield
        finally:
            with self._lock:
                self._judged -= 1

    def drain(self, *, sending: float, judged: float) -> bool:
        """Take no more messages and wait for those under way; return whether all ended.

        Up to *sending* seconds for those still coming in, *judged* while any waits for us.
        """
        self._draining = True
        start = time.monotonic()
        while self._under_way:
            if time.monotonic() - start >= (judged if self._judged else sending):
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def close(self) -> None:
        """Stop the threads."""
        self._give_backs.stop()
        self._limits.stop()
        if self._spamd is not None:
            self._spamd.close()

    def _use(self, settings: Settings, limits: RoleLimits) -> None:
        limits.start()
        self._limits = limits
        address = settings.spam.spamd
        if self._spamd is None or self._spamd.address != address:
            self._spamd = Spamd(address) if address else None
        scan = self._scan if self._spamd else None
        self._tools = Dependencies(settings, limits, scan, self._notify, self._postman.is_ours)
        self._trusted = tuple(map(ip_network, settings.spam.trusted))

    def _notify(self, notice: bytes, to: str) -> None:
        self._postman.send(notice, to=to, through=self._tools.settings.site.smtp)

    def _scan(self, read: Callable[[], bytes]) -> Report:
        spamd = self._spamd  # the present one, also for messages older than a reload
        if spamd is None:
            raise SpamdUnavailable("off")
        return spamd.scan(read)
