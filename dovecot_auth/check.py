"""Who may log in: credentials and remote address in, a decision out. No transport.

Trusts nothing in the credentials. An unknown name costs the same hashing as a
known one. A hash that cannot be checked, and a store that is away, are "try
later" and never "wrong password".
"""

import logging
import threading
import time
from collections import Counter

from config.daemon.logs import fields
from config.settings import Settings
from dovecot_auth import admission
from dovecot_auth.admission import RecentFailures
from dovecot_auth.password_cache import PasswordCache
from dovecot_auth.verdict import (
    Allowed,
    Blocked,
    Denied,
    KnownNetwork,
    Login,
    LoginResult,
    Pending,
    Upgrade,
)
from store.engine import Store
from store.errors import StoreUnavailable
from store.logins import attempt, guesses, password_hashes
from store.logins.budgets import BudgetState
from store.logins.credentials import Credentials, credentials, upgrade_hash

log = logging.getLogger(__name__)

# What Dovecot can carry (512 bytes with three NULs); longer never was a password.
MAX_PASSWORD = 509
# Who may not send signs in to Postfix all the same, where policyd gives the reason; mail programs
# would show a refused login as a wrong password. Dovecot's own submission server hands mail to
# Postfix, which need not tell policyd whose it is: there the login is the only place to stop it.
SUBMISSION = "submission"


class Checker:
    """Decides on one store and one set of settings. Safe in many threads."""

    def __init__(self, store: Store, settings: Settings) -> None:
        """Keep both; connects on first use."""
        self._store = store
        self._settings = settings
        self._memory = PasswordCache(right_seconds=settings.auth.cache_seconds)
        self._uncharged = admission.LocalFailures()
        self._counted = RecentFailures()
        self._pending: Counter[str] = Counter()
        self._lock = threading.Lock()

    def use(self, store: Store, settings: Settings) -> Store:
        """Decide on these from now on and return the old store; what is known stays known.

        A login in progress may begin on the old ones and end on the new.
        """
        old, self._store, self._settings = self._store, store, settings
        self._memory.remember_right(settings.auth.cache_seconds)
        return old

    def verify(self, login: Login, *, now: int | None = None) -> LoginResult:
        """Decide the one login of a process; raise `StoreUnavailable` or `UnknownScheme`."""
        begun = self.begin(login, now=now)
        if isinstance(begun, LoginResult):
            return begun
        verdict = self.decide(begun, now=now)
        if verdict.failed:
            self.charge(begun, now=now)
        return verdict

    def begin(self, login: Login, *, now: int | None = None) -> LoginResult | Pending:
        """Decide a login without hashing if that can be; else `admit` and `decide` it.

        Leaves no trace: whoever asked may have given up before the store answered.
        """
        at, asked = int(time.time()) if now is None else now, self._counted.moment
        tried = attempt.attempt(
            self._store, self._settings, login.user, remote=login.remote, now=at
        )
        found, standing = tried.found, self._uncharged.taken_from(tried.standing, now=at)
        stored = (found.password if found else None) or password_hashes.DUMMY
        digest = self._memory.digest(tried.name, stored, login.password)
        if standing.is_blocked:  # before the memory, which would tell a guesser "right"
            return LoginResult(Blocked())
        if self._memory.was_wrong(digest, now=at):
            return LoginResult(_wrong(standing, "the same wrong password again"))
        pending = Pending(login, found, digest, tried.standing, asked)
        if found and self._memory.was_right(digest, now=at):
            return self._right(pending, found)
        return pending

    def admit(self, pending: Pending, *, to_ask_again: bool = False) -> bool:
        """Count a check as in progress until `release`; not while as many are as may fail.

        Nor if a failure was counted since the store was asked, except *to_ask_again*.
        """
        with self._lock:
            standing = self._uncharged.taken_from(pending.standing, now=int(time.time()))
            if not standing.has_room(self._pending):
                return False
            if not to_ask_again and self._counted.since(pending.asked, standing.stopping):
                return False
            for subject in pending.standing.left:
                self._pending[subject] += 1
            return True

    def decide(self, pending: Pending, *, now: int | None = None) -> LoginResult:
        """Decide by hashing: always one check, so that time tells no name from a nobody.

        Who asked charges what `Verdict.failed`, before anything else is done for the login.
        """
        at = int(time.time()) if now is None else now
        login, found = pending.login, pending.found
        stored = found.password if found else None
        fits = 0 < len(login.password.encode("utf-8", "replace")) <= MAX_PASSWORD
        right = password_hashes.verify(
            login.password if fits else "-", stored or password_hashes.DUMMY
        )
        if found and stored and right and fits:
            self._memory.note(pending.digest, right=True, now=at)
            return self._right(pending, found)
        reason = "unknown" if found is None else "wrong password" if stored else "no password set"
        standing = self._uncharged.taken_from(pending.standing, now=at)
        return LoginResult(_wrong(standing, reason), failed=True)

    def charge(self, pending: Pending, *, now: int | None = None) -> None:
        """Count a failure in the store, or in this process while the store takes nothing.

        Only then is the attempt remembered as wrong, which makes repeating it free.
        """
        at = int(time.time()) if now is None else now
        try:
            guesses.charge(self._store, pending.standing.budgets, now=at)
        except StoreUnavailable as error:
            log.warning("a failure is counted in this process alone %s", fields(why=error))
            self.charge_here(pending, now=at)
        else:
            self._counted.note(pending.standing.left)
            self._memory.note(pending.digest, right=False, now=at)

    def charge_here(self, pending: Pending, *, now: int | None = None) -> None:
        """Count a failure in this process alone: too much waits to be written."""
        at = int(time.time()) if now is None else now
        self._uncharged.charge(pending.standing.budgets, now=at)
        self._memory.note(pending.digest, right=False, now=at)

    def release(self, pending: Pending) -> None:
        """Count the check as in progress no longer."""
        with self._lock:
            for subject in pending.standing.left:
                self._pending[subject] -= 1
                if not self._pending[subject]:
                    del self._pending[subject]

    def finish(self, verdict: LoginResult, rehashed: str | None = None) -> None:
        """Write what a verdict leaves; a store that is away means another login does it.

        *rehashed* is the new hash that `Upgrade` asks for: hashing is other threads' work.
        """
        try:
            if verdict.place is not None:
                place = verdict.place
                guesses.remember(self._store, place.account, place.remote, now=int(time.time()))
            if verdict.upgrade is not None and rehashed is not None:
                self._upgrade(verdict.upgrade, rehashed)
        except StoreUnavailable as error:
            log.warning("left for the next login %s", fields(why=error))

    def lookup(self, user: str, *, now: int | None = None) -> Allowed | None:
        """Return what Dovecot needs to deliver to *user*; ``None`` for nobody of ours.

        Suspended accounts go on receiving: nothing is lost while they are stopped.
        """
        known = attempt.is_text(user)
        found = credentials(self._store, self._settings, user, now=now) if known else None
        return self._allowed(found) if found else None

    def _right(self, pending: Pending, found: Credentials) -> LoginResult:
        """Return the verdict on a right password."""
        login = pending.login
        if stop := self._stopped(found, login.service):
            return LoginResult(Denied(stop))
        old = found.password or ""
        upgrade = (
            self._settings.auth.upgrade_hashes
            and password_hashes.needs_upgrade(old)
            and password_hashes.covers(login.password, old)
        )
        return LoginResult(
            self._allowed(found),
            upgrade=Upgrade(found.account, found.name, old, login.password) if upgrade else None,
            place=None
            if pending.standing.seen_lately
            else KnownNetwork(found.account, login.remote),
        )

    def _upgrade(self, todo: Upgrade, new: str) -> None:
        done = upgrade_hash(self._store, todo.account, old=todo.old, new=new)
        if done:  # the memory knows the password under its old hash only
            digest = self._memory.digest(todo.name, new, todo.password)
            self._memory.note(digest, right=True, now=time.time())
        log.info("hash upgraded %s", fields(account=todo.account, done=done))

    def _stopped(self, found: Credentials, service: str) -> str | None:
        if found.stopped("everything"):
            return "suspended"
        if service != SUBMISSION:
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


def _wrong(standing: BudgetState, reason: str) -> Denied | Blocked:
    """Return the answer to a wrong password; where a name that is unknown here were blocked, so."""
    return Blocked() if standing.is_spent else Denied(reason)
