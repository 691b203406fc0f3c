"""Guessing is blocked, while owners still get in."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from dovecot_auth.check import Checker
from dovecot_auth.verdict import Allowed, Blocked, Denied, Login, LoginResult, Pending
from store.logins.budgets import ACCOUNT_BUDGET, ACCOUNT_REFILL, NETWORK_BUDGET
from tests.dovecot_auth.logins import PASSWORD, decide, finish, guess, outcome
from tests.dovecot_auth.site import Site
from tests.store.read_only import read_only


def test_a_phone_repeating_its_old_password_is_one_guess_and_one_hash(
    checker: Checker, hashed: list[str]
) -> None:
    for _ in range(ACCOUNT_BUDGET * 2):
        assert outcome(checker, "alice", "my old password") != "allowed"
    assert len(hashed) == 1
    assert outcome(checker, "alice", PASSWORD) == "allowed"


def test_a_spent_budget_blocks_even_the_right_password(checker: Checker) -> None:
    guess(checker, ACCOUNT_BUDGET)
    stranger = Login("alice", PASSWORD, "imap", "203.0.113.5")
    assert checker.verify(stranger).answer == Blocked()
    assert checker.verify(Login("nobody", PASSWORD, "imap", "203.0.113.5")).answer == Denied(
        "unknown"
    )


def test_a_cached_password_is_not_confirmed_to_a_blocked_guesser(checker: Checker) -> None:
    assert outcome(checker, "alice", PASSWORD) == "allowed"
    guess(checker, ACCOUNT_BUDGET)
    assert checker.verify(Login("alice", PASSWORD, "imap", "203.0.113.5")).answer == Blocked()


def test_the_owner_gets_in_from_a_known_network(checker: Checker) -> None:
    finish(checker, decide(checker, "alice", PASSWORD))
    guess(checker, ACCOUNT_BUDGET * 2)
    assert outcome(checker, "alice", PASSWORD) == "allowed"
    assert decide(checker, "alice", PASSWORD).network is None  # recorded today already


def test_concurrent_guesses_do_not_overdraw_the_budget(checker: Checker) -> None:
    begun = [
        checker.begin(Login("alice", f"guess {number}", "imap", "198.51.100.9"))
        for number in range(ACCOUNT_BUDGET + 10)
    ]
    pending = [each for each in begun if isinstance(each, Pending)]
    assert pending == begun  # none is refused, as none has failed yet
    assert [checker.admit(each) for each in pending] == [True] * ACCOUNT_BUDGET + [False] * 10
    for each in pending[:ACCOUNT_BUDGET]:
        checker.release(each)
    assert checker.admit(pending[-1])


def test_a_login_that_read_before_a_failure_reads_again(checker: Checker) -> None:
    guess(checker, ACCOUNT_BUDGET - 1)
    last, one_more = (
        checker.begin(Login("alice", wrong, "imap", "198.51.100.9")) for wrong in ("a", "b")
    )
    assert isinstance(last, Pending)
    assert isinstance(one_more, Pending)
    assert checker.admit(last)
    assert not checker.admit(one_more)
    checker.charge(last)
    checker.release(last)
    assert not checker.admit(one_more)
    assert checker.admit(one_more, to_read_again=True)
    assert checker.begin(one_more.login) == LoginResult(Blocked())


@contextmanager
def reading(site: Site) -> Iterator[Checker]:
    store = read_only(f"sqlite:///{site.root}/gatepost.db")
    yield Checker(store, site.settings)
    store.close()


def test_guessing_is_blocked_while_the_store_is_read_only(empty_site: Site) -> None:
    with reading(empty_site) as checker:
        answers = [
            checker.verify(Login("alice", f"guess {number}", "imap", "198.51.100.9")).answer
            for number in range(300)
        ]
        assert answers.count(Denied("wrong password")) == ACCOUNT_BUDGET
        assert answers.count(Blocked()) == 300 - ACCOUNT_BUDGET
        assert checker.verify(Login("alice", PASSWORD, "imap", "198.51.100.9")).answer == Blocked()
        assert isinstance(checker.verify(Login("bob", "bob's password")).answer, Allowed)


def test_failures_counted_without_the_store_are_refilled(empty_site: Site) -> None:
    with reading(empty_site) as checker:
        for number in range(ACCOUNT_BUDGET):
            checker.verify(Login("alice", f"guess {number}"), now=1000)
        assert checker.verify(Login("alice", PASSWORD), now=1000).answer == Blocked()
        later = 1000 + ACCOUNT_REFILL
        assert isinstance(checker.verify(Login("alice", PASSWORD), now=later).answer, Allowed)


def test_a_closed_network_answers_known_and_unknown_names_alike(checker: Checker) -> None:
    finish(checker, decide(checker, "alice", PASSWORD))
    now = int(time.time())  # for all: on a busy machine they take until one is refilled
    for number in range(NETWORK_BUDGET):
        checker.verify(Login(f"name{number}", "guess", "imap", "192.0.2.7"), now=now)
    for password in ("wrong", "wrong", "wrong too"):
        for user in ("alice", "bob", "nobody"):
            login = Login(user, password, "imap", "192.0.2.7")
            assert checker.verify(login, now=now).answer == Blocked()
    assert outcome(checker, "alice", PASSWORD) == "allowed"
