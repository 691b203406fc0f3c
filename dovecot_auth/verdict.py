"""A login, and what can become of it."""

from dataclasses import dataclass, field

from store.logins.budgets import BudgetState
from store.logins.credentials import Credentials

# A "no" takes this long at least, whatever its reason, so that its time tells nothing. Above
# the slowest imported hash that is common (bcrypt 12: 245 ms here); `authd` learns of slower ones.
REFUSAL_SECONDS = 0.3


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
class Denied:
    """No. *reason* is for the log; a peer must not learn which names exist."""

    reason: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """Not now: too many wrong passwords came before. Never "wrong password"."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A verified password under an old hash, to be hashed anew."""

    account: int
    name: str
    old: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KnownNetwork:
    """Where an account logged in, to be known from now on."""

    account: int
    remote: str


@dataclass(frozen=True, slots=True)
class LoginResult:
    """The answer to a login, and the work that may be done after it is given."""

    answer: Allowed | Denied | Blocked
    failed: bool = False  # a guess, to be charged
    upgrade: Upgrade | None = None
    place: KnownNetwork | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A login that only hashing can decide."""

    login: Login
    found: Credentials | None
    digest: bytes
    standing: BudgetState  # as the store had it
    asked: int  # the moment before, as `Counted` has it
