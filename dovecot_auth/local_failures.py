"""Failures that the store could not take: they count in this process until refilled."""

import threading
from collections.abc import Collection
from dataclasses import replace

from config.units import UnixSeconds
from store.logins.budgets import Budget, BudgetState

MAX_SUBJECTS = 100_000  # about 20 MiB


class LocalFailures:
    """For each subject, when its budget will be full again. Safe in many threads."""

    def __init__(self) -> None:
        """Start with none."""
        self._full_at: dict[str, UnixSeconds] = {}
        self._lock = threading.Lock()

    def charge(self, budgets: Collection[Budget], *, now: UnixSeconds) -> None:
        """Count one failure against each of *budgets*; the oldest subject makes room."""
        with self._lock:
            for budget in budgets:
                start = max(self._full_at.pop(budget.subject, 0), now)
                self._full_at[budget.subject] = min(start, budget.ceiling(now)) + budget.refill
            while len(self._full_at) > MAX_SUBJECTS:
                del self._full_at[next(iter(self._full_at))]

    def subtract_from(self, state: BudgetState, *, now: UnixSeconds) -> BudgetState:
        """Return *state* with these failures counted as well."""
        if not self._full_at:
            return state
        left = dict(state.left)
        for budget in state.budgets:
            left[budget.subject] -= budget.spent(self._full_at.get(budget.subject, 0), now=now)
        return replace(state, left=left)
