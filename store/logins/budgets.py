"""The budgets of wrong passwords, by account, network and pair of both. Pure.

A budget is one number, the time at which it will be full again: the theoretical arrival time of
GCRA, the generic cell rate algorithm (ITU-T I.371). Each failure moves it by one refill.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from config.units import UnixSeconds
from store.limits.subjects import client

# NIST SP 800-63B-4 3.2.2 allows at most 100 consecutive failures. 50 at once and then one
# in ten minutes make 194 in the first day, from all unknown networks together.
ACCOUNT_BUDGET = 50
ACCOUNT_REFILL = 600  # seconds until one more failure is allowed
# A lecture hall behind one address mistypes more often than one person does.
NETWORK_BUDGET = 200
NETWORK_REFILL = 60
# A person's own devices; repeating the same wrong password is not counted at all.
PAIR_BUDGET = 50
PAIR_REFILL = 600
# A network stays known over a semester break after the last login there.
KNOWN_SECONDS = 120 * 86400
# Within a day, a known network is not written again: one write a day and network.
SEEN_AGAIN_SECONDS = 86400
MAX_PARSED = 1024  # addresses; a login needs one three times, and parsing is a tenth of its work
NETWORK_PREFIX = "network "


@dataclass(frozen=True, slots=True)
class Budget:
    """A subject that a failure is charged to."""

    subject: str
    size: int  # failures
    refill: int  # seconds for each failure
    stops: bool = True  # whether it blocks logins while it is exhausted

    def spent(self, full_at: UnixSeconds, *, now: UnixSeconds) -> int:
        """Return how many failures count at *now*."""
        return -(-max(0, full_at - now) // self.refill)  # rounded up

    def ceiling(self, now: UnixSeconds) -> UnixSeconds:
        """Return the latest arrival time that a failure is added to, so that debt is impossible.

        Otherwise failures of accounts known in a blocked network would block it for weeks.
        """
        return now + (self.size - 1) * self.refill


@dataclass(frozen=True, slots=True)
class BudgetState:
    """The budgets of a login, and what is left of them."""

    budgets: tuple[Budget, ...]
    left: Mapping[str, int]  # failures, by the subject of the budget
    seen_lately: bool  # this account's known network need not be written again

    @property
    def is_blocked(self) -> bool:
        """Whether a budget that stops logins is exhausted."""
        return not self.has_room({})

    @property
    def is_spent(self) -> bool:
        """Whether any budget is exhausted: a wrong password is then answered 'blocked'."""
        return any(count <= 0 for count in self.left.values())

    def has_room(self, pending: Mapping[str, int]) -> bool:
        """Whether one more check may start while *pending* run for each subject: all may fail."""
        return all(pending.get(subject, 0) < self.left[subject] for subject in self.stopping)

    @property
    def stopping(self) -> list[str]:
        """The subjects of the budgets that stop logins."""
        return [each.subject for each in self.budgets if each.stops]


@lru_cache(MAX_PARSED)
def network_of(remote: str) -> str | None:
    """Return the network whose budget *remote* shares; ``None`` if it is not an address."""
    try:
        return client(remote).removeprefix("client ")
    except ValueError:
        return None


def budgets_for(name: str, network: str | None, *, known: bool) -> tuple[Budget, ...]:
    """Return the budgets that a failure of *name* from *network* is charged to."""
    account = account_subject(name)
    if network is None:  # the request has no address: it is from a local program
        return (Budget(account, ACCOUNT_BUDGET, ACCOUNT_REFILL),)
    for_all = (
        Budget(account, ACCOUNT_BUDGET, ACCOUNT_REFILL, stops=not known),
        Budget(NETWORK_PREFIX + network, NETWORK_BUDGET, NETWORK_REFILL, stops=not known),
    )
    pair = Budget(f"{account} {network}", PAIR_BUDGET, PAIR_REFILL)
    return (*for_all, pair) if known else for_all


def account_subject(name: str) -> str:
    """Return the subject of *name*, hashed: a stranger may have typed anything, even a password."""
    return "guess " + hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]
