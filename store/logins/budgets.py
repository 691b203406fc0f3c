"""The budgets of wrong passwords, by account, network and pair. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from store.limits.subjects import client

# NIST SP 800-63B-4 3.2.2 wants at most 100 failures in a row: 50 at once, and then one in
# ten minutes, is 194 in the first day from everywhere else together.
ACCOUNT_BUDGET = 50
ACCOUNT_REFILL = 600  # seconds for one more
# A lecture hall behind one address mistypes more than one person does.
NETWORK_BUDGET = 200
NETWORK_REFILL = 60
# One's own devices; a wrong password that is only repeated is not counted at all.
PAIR_BUDGET = 50
PAIR_REFILL = 600
# A place counts as known for a semester's break after the last login there.
KNOWN_SECONDS = 120 * 86400
# Seen again within a day, a place is not written again: one write a day and place.
SEEN_AGAIN_SECONDS = 86400
MAX_PARSED = 1024  # addresses; a login asks three times, and parsing is a tenth of its work
NETWORK_PREFIX = "network "


@dataclass(frozen=True, slots=True)
class Budget:
    """A subject that a failure is charged to."""

    subject: str
    size: int
    refill: int
    stops: bool = True  # whether nobody gets in while it is spent

    def spent(self, full_at: int, *, now: int) -> int:
        """Return how many failures are to be refilled."""
        return -(-max(0, full_at - now) // self.refill)  # rounded up

    def ceiling(self, now: int) -> int:
        """Return from when at most a failure is counted: none makes a spent budget a debt.

        Failures at names that are known in a closed network would close it for weeks.
        """
        return now + (self.size - 1) * self.refill


@dataclass(frozen=True, slots=True)
class BudgetState:
    """What a login is up against."""

    budgets: tuple[Budget, ...]
    left: Mapping[str, int]  # failures, by the budgets' subjects
    seen_lately: bool  # this place of this account needs no new mark

    @property
    def is_blocked(self) -> bool:
        """Whether a budget that stops has no failure left."""
        return not self.has_room({})

    @property
    def is_spent(self) -> bool:
        """Whether any budget has no failure left: a wrong password is answered as a blocked one."""
        return any(count <= 0 for count in self.left.values())

    def has_room(self, pending: Mapping[str, int]) -> bool:
        """Whether one more may be checked while *pending* of each subject are: all may fail."""
        return all(pending.get(subject, 0) < self.left[subject] for subject in self.stopping)

    @property
    def stopping(self) -> list[str]:
        """The subjects whose budgets stop a login."""
        return [each.subject for each in self.budgets if each.stops]


@lru_cache(MAX_PARSED)
def network_of(remote: str) -> str | None:
    """Return the network whose budget *remote* shares; ``None`` for no address."""
    try:
        return client(remote).removeprefix("client ")
    except ValueError:
        return None


def budgets_for(name: str, network: str | None, *, known: bool) -> tuple[Budget, ...]:
    """Return the budgets that a failure of *name* from *network* is charged to."""
    account = account_subject(name)
    if network is None:  # no address came with the question: a local program asks
        return (Budget(account, ACCOUNT_BUDGET, ACCOUNT_REFILL),)
    for_all = (
        Budget(account, ACCOUNT_BUDGET, ACCOUNT_REFILL, stops=not known),
        Budget(NETWORK_PREFIX + network, NETWORK_BUDGET, NETWORK_REFILL, stops=not known),
    )
    pair = Budget(f"{account} {network}", PAIR_BUDGET, PAIR_REFILL)
    return (*for_all, pair) if known else for_all


def account_subject(name: str) -> str:
    """A name may be anything a stranger typed; its hash has a length and no secrets of his."""
    return "guess " + hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]
