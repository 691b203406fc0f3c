"""Which failures were counted after a login asked the store what is left.

A check leaves the number of those in progress once its failure is in the store. A login
that asked the store before that, and is admitted after it, would see the failure in neither
and be checked beyond the budget: it has to ask again.
"""

import threading
from collections.abc import Collection, Iterable
from dataclasses import replace

from store.logins.budgets import Budget, BudgetState

# Two subjects a failure: at 100 failures a second these are a minute's, and a login asks
# within milliseconds. What is dropped earlier makes logins ask once too often, never too seldom.
MAX_SUBJECTS = 10_000


class RecentFailures:
    """Subjects in the order of their last failure. Any thread may ask."""

    def __init__(self) -> None:
        """Start with none."""
        self.moment = 0  # as many failures as were counted
        self._last: dict[str, int] = {}
        self._dropped = 0
        self._lock = threading.Lock()

    def note(self, subjects: Iterable[str]) -> None:
        """Note that the store has counted a failure of *subjects*."""
        with self._lock:
            moment = self.moment + 1
            for subject in subjects:
                self._last.pop(subject, None)  # to the end: the oldest stays first
                self._last[subject] = moment
            while len(self._last) > MAX_SUBJECTS:
                self._dropped = self._last.pop(next(iter(self._last)))
            self.moment = moment

    def since(self, moment: int, subjects: Iterable[str]) -> bool:
        """Return whether a failure of any of *subjects* may have been noted after *moment*."""
        with self._lock:
            return moment < self._dropped or any(self._last.get(s, 0) > moment for s in subjects)


MAX_UNCHARGED = 100_000  # subjects, about 20 MiB


class LocalFailures:
    """Failures that the store could not take, until they are refilled. Any thread may ask."""

    def __init__(self) -> None:
        """Start with none."""
        self._full_at: dict[str, int] = {}
        self._lock = threading.Lock()

    def charge(self, budgets: Collection[Budget], *, now: int) -> None:
        """Count one failure against each of *budgets*; the oldest subject makes room."""
        with self._lock:
            for each in budgets:
                start = max(self._full_at.pop(each.subject, 0), now)
                self._full_at[each.subject] = min(start, each.latest(now)) + each.refill
            while len(self._full_at) > MAX_UNCHARGED:
                del self._full_at[next(iter(self._full_at))]

    def taken_from(self, standing: BudgetState, *, now: int) -> BudgetState:
        """Return *standing* with these failures counted as well."""
        if not self._full_at:
            return standing
        left = dict(standing.left)
        for each in standing.budgets:
            left[each.subject] -= each.spent(self._full_at.get(each.subject, 0), now=now)
        return replace(standing, left=left)
