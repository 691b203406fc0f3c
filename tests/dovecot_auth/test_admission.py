"""Failures that a login has not seen when it read its budgets."""

import pytest

from dovecot_auth import admission
from dovecot_auth.admission import Admission, RecentFailures
from store.logins.budgets import Budget, BudgetState


def test_a_failure_is_seen_by_a_login_that_read_before_it() -> None:
    failures = RecentFailures()
    before = failures.moment
    failures.note(["alice", "here"])
    assert failures.since(before, ["alice"])
    assert failures.since(before, ["bob", "here"])
    assert not failures.since(before, ["bob"])
    assert not failures.since(failures.moment, ["alice", "here"])


def test_a_dropped_subject_makes_every_earlier_login_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "MAX_SUBJECTS", 2)
    failures = RecentFailures()
    before = failures.moment
    for name in ("alice", "bob", "alice", "carol"):
        failures.note([name])
    assert failures.since(before, ["bob"])
    assert failures.since(2, ["alice"])
    assert not failures.since(3, ["alice"])
    assert not failures.since(2, ["bob"])


def test_a_failure_counts_while_it_is_checked_and_after_it_was_counted_locally() -> None:
    admission, now = Admission(), 1_800_000_000
    last = BudgetState((Budget("alice", 50, 600),), {"alice": 1}, seen_lately=False)
    assert admission.admit(last, since=None, now=now)
    assert not admission.admit(last, since=None, now=now)
    admission.local.charge(last.budgets, now=now)
    admission.release(last)
    assert not admission.admit(last, since=None, now=now)
    assert admission.admit(last, since=None, now=now + 600)
