"""How many passwords may be checked at once, so that no budget is overdrawn.

A check in progress may fail, so it counts against its budgets from `Admission.admit` to
`release`, which comes after its failure is in the store. A login that read its budgets
before that failure was stored, and is admitted after the release, would see it in
neither and be checked beyond the budget: `RecentFailures` makes it read again.
"""

import threading
from collections import Counter
from collections.abc import Iterable

from config.units import UnixSeconds
from dovecot_auth.local_failures import LocalFailures
from store.logins.budgets import BudgetState

# Two subjects a failure: at 100 failures a second these are a minute's, and a login is admitted
# milliseconds after it read. Dropping one too early costs a needless read, never a missing one.
MAX_SUBJECTS = 10_000


class Admission:
    """The checks in progress, by subject. Safe in many threads."""

    def __init__(self) -> None:
        """Start with none."""
        self.recent = RecentFailures()
        self.local = LocalFailures()
        self._in_progress: Counter[str] = Counter()
        self._lock = threading.Lock()

    def admit(self, state: BudgetState, *, since: int | None, now: UnixSeconds) -> bool:
        """Count a check as in progress until `release`, if its failure would fit the budgets.

        Refuses if a failure was recorded after the moment *since*, unless it is ``None``.
        """
        with self._lock:
            # Inside the lock: a check releases just after its failure was counted locally.
            state = self.local.subtract_from(state, now=now)
            if not state.has_room(self._in_progress):
                return False
            if since is not None and self.recent.since(since, state.stopping):
                return False
            self._in_progress.update(state.left.keys())
            return True

    def release(self, state: BudgetState) -> None:
        """Stop counting a check as in progress."""
        with self._lock:
            for subject in state.left:
                self._in_progress[subject] -= 1
                if not self._in_progress[subject]:
                    del self._in_progress[subject]


class RecentFailures:
    """Subjects in the order of their last failure. Safe in many threads."""

    def __init__(self) -> None:
        """Start with none."""
        self.moment = 0  # the number of failures recorded so far
        self._last: dict[str, int] = {}
        self._dropped = 0
        self._lock = threading.Lock()

    def note(self, subjects: Iterable[str]) -> None:
        """Record that the store has counted a failure of *subjects*."""
        with self._lock:
            moment = self.moment + 1
            for subject in subjects:
                self._last.pop(subject, None)  # to the end: the oldest stays first
                self._last[subject] = moment
            while len(self._last) > MAX_SUBJECTS:
                self._dropped = self._last.pop(next(iter(self._last)))
            self.moment = moment

    def since(self, moment: int, subjects: Iterable[str]) -> bool:
        """Return whether a failure of any of *subjects* may have been recorded after *moment*."""
        with self._lock:
            return moment < self._dropped or any(self._last.get(s, 0) > moment for s in subjects)
