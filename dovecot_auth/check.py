"""Who may log in: credentials and remote address in, a decision out. No transport.

Trusts nothing in the credentials. An unknown name costs the same hashing as a
known one. A hash that cannot be checked, and a store that is away, are "try
later" and never "wrong password".
"""

import logging
from dataclasses import dataclass, field

from config.logs import fields
from config.settings import Settings
from store import passwords
from store.credentials import Credentials, credentials, upgrade_hash
from store.engine import Store
from store.errors import StoreUnavailable
from store.names import MAX_ADDRESS

log = logging.getLogger(__name__)

# What Dovecot can carry (512 bytes with three NULs); longer never was a password.
MAX_PASSWORD = 509
# Postfix asks Dovecot for service smtp, Dovecot's own submission server for submission.
SENDING_SERVICES = frozenset({"smtp", "submission"})


@dataclass(frozen=True, slots=True)
class Login:
    """What somebody claims. *remote* is an IP address or empty."""

    user: str
    password: str = field(repr=False)  # nowhere this object may be printed
    service: str = ""
    remote: str = ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Yes, and what Dovecot needs to know. *quota* is bytes, 0 for unlimited."""

    user: str
    home: str
    uid: int
    gid: int
    quota: int

    def fields(self) -> dict[str, str]:
        """Return the names and values that checkpassword and passdb.lua know."""
        return {
            "user": self.user,
            "home": self.home,
            "uid": str(self.uid),
            "gid": str(self.gid),
            "quota": str(self.quota),
        }


@dataclass(frozen=True, slots=True)
class Refused:
    """No. *reason* is for the log; a peer must not learn which names exist."""

    reason: str


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A verified password under an old hash, to be hashed anew after the answer."""

    account: int
    old: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a login, and the work it leaves."""

    answer: Allowed | Refused
    upgrade: Upgrade | None = None


class Checker:
    """Decides on one store and one set of settings. Safe in many threads."""

    def __init__(self, store: Store, settings: Settings) -> None:
        """Keep both; connects on first use."""
        self._store = store
        self._settings = settings

    def verify(self, login: Login, *, now: int | None = None) -> Verdict:
        """Decide a login; raise `StoreUnavailable` or `UnknownScheme` for "try later"."""
        found = self._found(login.user, now)
        stored = found.password if found else None
        fits = 0 < len(login.password.encode("utf-8", "replace")) <= MAX_PASSWORD
        # Always one check, so that time does not tell a name from a nobody.
        right = passwords.verify(login.password if fits else "-", stored or passwords.DUMMY)
        if found is None:
            return Verdict(Refused("unknown"))
        if stored is None:
            return Verdict(Refused("no password set"))
        if not (right and fits):
            return Verdict(Refused("wrong password"))
        if stop := self._stopped(found, login.service):
            return Verdict(Refused(stop))
        return Verdict(self._allowed(found), self._upgrade(found.account, stored, login.password))

    def lookup(self, user: str, *, now: int | None = None) -> Allowed | None:
        """Return what Dovecot needs to deliver to *user*; ``None`` for nobody of ours.

        Suspended accounts go on receiving: nothing is lost while they are stopped.
        """
        found = self._found(user, now)
        return self._allowed(found) if found else None

    def upgrade(self, todo: Upgrade) -> None:
        """Replace an old hash; a store that is away means the next login does it."""
        try:
            new = passwords.hash_password(todo.password)
            done = upgrade_hash(self._store, todo.account, old=todo.old, new=new)
        except StoreUnavailable as error:
            log.warning("hash not upgraded %s", fields(account=todo.account, error=error))
        else:
            log.info("hash upgraded %s", fields(account=todo.account, done=done))

    def _found(self, user: str, now: int | None) -> Credentials | None:
        if not user.isprintable() or len(user) > MAX_ADDRESS:
            return None  # NUL and lone surrogates are no text for a database
        return credentials(self._store, self._settings, user, now=now)

    def _stopped(self, found: Credentials, service: str) -> str | None:
        if found.stopped("everything"):
            return "suspended"
        if service not in SENDING_SERVICES:
            return None
        if found.stopped("sending"):
            return "suspended from sending"
        if found.initial and not self._settings.auth.initial_may_send:
            return "still on the initial password"
        return None

    def _allowed(self, found: Credentials) -> Allowed:
        site = self._settings.site
        return Allowed(
            user=found.name,
            home=site.mail_home.replace("{name}", found.name),
            uid=site.mail_uid,
            gid=site.mail_gid,
            quota=found.mailbox,
        )

    def _upgrade(self, account: int, stored: str, password: str) -> Upgrade | None:
        if not self._settings.auth.upgrade_hashes or not passwords.needs_upgrade(stored):
            return None
        return Upgrade(account, stored, password)
