"""A login, and what can become of it."""

from dataclasses import dataclass, field

from config.units import Bytes
from store.logins.budgets import BudgetState
from store.logins.credentials import Credentials

# Seconds that a refusal takes at least, whatever its reason, so that its time tells nothing.
# Above the slowest imported hash that is common (bcrypt 12: 245 ms here); authd learns of slower.
REFUSAL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Login:
    """What the peer claims. *remote* is an IP address or empty."""

    user: str
    password: str = field(repr=False)  # printed nowhere
    service: str = ""
    remote: str = ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Yes, and what Dovecot needs to know."""

    user: str
    home: str
    uid: int
    gid: int
    quota: Bytes  # 0 is unlimited

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
    """A verified password under an old hash, to be hashed again."""

    account: int
    name: str
    old: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KnownNetwork:
    """An account, and the address of a login that makes its network known."""

    account: int
    remote: str


@dataclass(frozen=True, slots=True)
class LoginResult:
    """The answer to a login, and the work to do after it is given."""

    answer: Allowed | Denied | Blocked
    failed: bool = False  # a guess, to be charged
    upgrade: Upgrade | None = None
    network: KnownNetwork | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A login that only hashing can decide."""

    login: Login
    account: Credentials | None
    digest: bytes
    state: BudgetState  # as read from the store
    moment: int  # of `RecentFailures`, taken before that read
