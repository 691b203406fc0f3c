"""Failures that the store could not take."""

import pytest

from dovecot_auth import local_failures
from dovecot_auth.local_failures import LocalFailures
from store.logins.budgets import ACCOUNT_BUDGET, ACCOUNT_REFILL, Budget, BudgetState

NOW = 1_800_000_000
ACCOUNT = Budget("alice", ACCOUNT_BUDGET, ACCOUNT_REFILL)
FULL = BudgetState((ACCOUNT,), {"alice": ACCOUNT_BUDGET}, seen_lately=False)


@pytest.fixture
def failures() -> LocalFailures:
    """Return as many failures as alice has, at once."""
    spent = LocalFailures()
    for _ in range(ACCOUNT_BUDGET):
        spent.charge(FULL.budgets, now=NOW)
    return spent


def test_local_failures_count_until_they_are_refilled(failures: LocalFailures) -> None:
    assert LocalFailures().subtract_from(FULL, now=NOW) == FULL
    assert failures.subtract_from(FULL, now=NOW).is_blocked
    assert not failures.subtract_from(FULL, now=NOW + ACCOUNT_REFILL).is_blocked


def test_the_oldest_subject_makes_room(
    failures: LocalFailures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_failures, "MAX_SUBJECTS", 1)
    failures.charge((Budget("bob", ACCOUNT_BUDGET, ACCOUNT_REFILL),), now=NOW)
    assert failures.subtract_from(FULL, now=NOW) == FULL
