"""Decide a login: credentials and remote address in, a result out. No transport.

Trusts nothing in the credentials. An unknown name costs the same hashing as a known
one. An unusable hash and an unavailable store mean "try later", never "wrong password".
"""

import logging
import time

from config.daemon.events import event
from config.settings import Settings
from config.units import UnixSeconds
from dovecot_auth.admission import Admission
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
from store.logins.password_rules import MAX_CARRIED

log = logging.getLogger(__name__)

# An account suspended from sending still signs in to Postfix, where policyd gives the reason; a
# mail program would show a refused login as a wrong password. Dovecot's own submission server
# hands mail to Postfix without saying whose it is: there, the login is the only place to stop it.
SUBMISSION = "submission"


class Checker:
    """Decides logins on one store and one set of settings. Safe in many threads."""

    def __init__(self, store: Store, settings: Settings) -> None:
        """Keep both; connect on first use."""
        self._store = store
        self._settings = settings
        self._cache = PasswordCache(right_seconds=settings.auth.cache_seconds)
        self._admission = Admission()

    def use(self, store: Store, settings: Settings) -> Store:
        """Switch to *store* and *settings*, keep what is known, and return the old store.

        A login in progress may begin on the old ones and end on the new.
        """
        old, self._store, self._settings = self._store, store, settings
        self._cache.remember_right(settings.auth.cache_seconds)
        return old

    def verify(self, login: Login, *, now: UnixSeconds | None = None) -> LoginResult:
        """Decide the only login of a process; raise `StoreUnavailable` or `UnknownScheme`."""
        begun = self.begin(login, now=now)
        if isinstance(begun, LoginResult):
            return begun
        result = self.decide(begun, now=now)
        if result.failed:
            self.charge(begun, now=now)
        return result

    def begin(self, login: Login, *, now: UnixSeconds | None = None) -> LoginResult | Pending:
        """Decide a login without hashing where possible; else it is for `admit` and `decide`.

        Leaves no trace: the peer may have given up before the store answered.
        """
        at, moment = _time(now), self._admission.recent.moment
        tried = attempt.read_attempt(
            self._store, self._settings, login.user, remote=login.remote, now=at
        )
        account, state = tried.account, self._admission.local.subtract_from(tried.state, now=at)
        stored = (account.password if account else None) or password_hashes.DUMMY
        digest = self._cache.digest(tried.name, stored, login.password)
        if state.is_blocked:  # before the cache, which would confirm a guess
            return LoginResult(Blocked())
        if self._cache.was_wrong(digest, now=at):
            return LoginResult(_wrong(state, "the same wrong password again"))
        pending = Pending(login, account, digest, tried.state, moment)
        if account and self._cache.was_right(digest, now=at):
            return self._right(pending, account)
        return pending

    def admit(self, pending: Pending, *, to_read_again: bool = False) -> bool:
        """Count a check as in progress until `release`, unless its failure would be one too many.

        A login that read its budgets before the latest failure is admitted only *to_read_again*.
        """
        since = None if to_read_again else pending.moment
        return self._admission.admit(pending.state, since=since, now=_time(None))

    def release(self, pending: Pending) -> None:
        """Stop counting the check as in progress."""
        self._admission.release(pending.state)

    def decide(self, pending: Pending, *, now: UnixSeconds | None = None) -> LoginResult:
        """Decide by hashing: always one check, so that its time does not tell which names exist.

        If the result has `failed` set, the caller must charge it before doing anything else
        for this login.
        """
        at = _time(now)
        login, account = pending.login, pending.account
        stored = account.password if account else None
        fits = 0 < len(login.password.encode("utf-8", "replace")) <= MAX_CARRIED
        right = password_hashes.verify(
            login.password if fits else "-", stored or password_hashes.DUMMY
        )
        if account and stored and right and fits:
            self._cache.note(pending.digest, right=True, now=at)
            return self._right(pending, account)
        reason = "unknown" if account is None else "wrong password" if stored else "no password set"
        state = self._admission.local.subtract_from(pending.state, now=at)
        return LoginResult(_wrong(state, reason), failed=True)

    def charge(self, pending: Pending, *, now: UnixSeconds | None = None) -> None:
        """Count a failure in the store, or in this process while the store takes none.

        Only then is the password remembered as wrong, which makes repeating it free.
        """
        at = _time(now)
        try:
            guesses.charge(self._store, pending.state.budgets, now=at)
        except StoreUnavailable as error:
            log.warning(event("failure-counted-locally", reason=error))
            self.charge_locally(pending, now=at)
        else:
            self._admission.recent.note(pending.state.left)
            self._cache.note(pending.digest, right=False, now=at)

    def charge_locally(self, pending: Pending, *, now: UnixSeconds | None = None) -> None:
        """Count a failure in this process only: the store is unavailable or too far behind."""
        at = _time(now)
        self._admission.local.charge(pending.state.budgets, now=at)
        self._cache.note(pending.digest, right=False, now=at)

    def finish(self, result: LoginResult, new_hash: str | None = None) -> None:
        """Write what a login leaves; if the store is unavailable, the next login will.

        *new_hash* is what `Upgrade` asks for: hashing is the work of other threads.
        """
        try:
            if network := result.network:
                guesses.remember(self._store, network.account, network.remote, now=_time(None))
            if result.upgrade and new_hash:
                self._upgrade(result.upgrade, new_hash)
        except StoreUnavailable as error:
            log.warning(event("write-skipped", reason=error))

    def lookup(self, user: str, *, now: UnixSeconds | None = None) -> Allowed | None:
        """Return what Dovecot needs to deliver to *user*; ``None`` for an unknown account.

        Suspended accounts still receive: no mail is lost while they are suspended.
        """
        if not attempt.is_text(user):
            return None
        account = credentials(self._store, self._settings, user, now=now)
        return self._allow(account) if account else None

    def _right(self, pending: Pending, account: Credentials) -> LoginResult:
        """Return the result of a right password."""
        login = pending.login
        if reason := self._reason_to_refuse(account, login.service):
            return LoginResult(Denied(reason))
        old = account.password or ""
        upgrade = network = None
        if (
            self._settings.auth.upgrade_hashes
            and password_hashes.needs_upgrade(old)
            and password_hashes.covers(login.password, old)
        ):
            upgrade = Upgrade(account.account, account.name, old, login.password)
        if not pending.state.seen_lately:
            network = KnownNetwork(account.account, login.remote)
        return LoginResult(self._allow(account), upgrade=upgrade, network=network)

    def _upgrade(self, upgrade: Upgrade, new: str) -> None:
        if not upgrade_hash(self._store, upgrade.account, old=upgrade.old, new=new):
            return  # the password was changed meanwhile
        # The cache knows the password under its old hash only.
        digest = self._cache.digest(upgrade.name, new, upgrade.password)
        self._cache.note(digest, right=True, now=_time(None))
        log.info(event("hash-upgraded", account=upgrade.account))

    def _reason_to_refuse(self, account: Credentials, service: str) -> str | None:
        """Return why a right password is refused for *service*, ``None`` if it is not."""
        if account.suspended("everything"):
            return "suspended"
        if service != SUBMISSION:
            return None
        if account.suspended("sending"):
            return "suspended from sending"
        if account.initial and not self._settings.auth.initial_may_send:
            return "still on the initial password"
        return None

    def _allow(self, account: Credentials) -> Allowed:
        site = self._settings.site
        return Allowed(
            user=account.name,
            home=site.mail_home.replace("{name}", account.name),
            uid=site.mail_uid,
            gid=site.mail_gid,
            quota=account.mailbox,
        )


def _time(now: UnixSeconds | None) -> UnixSeconds:
    """Return *now*, the present by default."""
    return int(time.time()) if now is None else now


def _wrong(state: BudgetState, reason: str) -> Denied | Blocked:
    """Return `Blocked` where an unknown name would be blocked too, else `Denied`.

    So the answer does not tell which names exist.
    """
    return Blocked() if state.is_spent else Denied(reason)
