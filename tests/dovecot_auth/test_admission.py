"""Failures that a login has not seen when it read its budgets."""

import pytest

from dovecot_auth import admission
from dovecot_auth.admission import RecentFailures


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
