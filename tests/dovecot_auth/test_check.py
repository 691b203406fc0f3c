"""The decision, on a real store, without any transport."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dovecot_auth.check import Checker
from dovecot_auth.verdict import Allowed, Blocked, Denied, Login, LoginResult, Pending, Upgrade
from store.engine import Store
from store.errors import StoreUnavailable
from store.logins import libcrypt, password_hashes
from store.logins.budgets import ACCOUNT_BUDGET, ACCOUNT_REFILL, NETWORK_BUDGET
from store.logins.schemes import UnknownScheme
from store.people import accounts
from store.people.suspension import suspend
from tests.dovecot_auth.site import CHANGE, Site, cheap
from tests.store.read_only import read_only

ALICE = "alice's password"


@pytest.fixture
def checker(empty_site: Site) -> Checker:
    return Checker(empty_site.store, empty_site.settings)


def decided(checker: Checker, user: str, password: str, service: str = "imap") -> LoginResult:
    return checker.verify(Login(user, password, service, "192.0.2.7"))


def refused(checker: Checker, user: str, password: str, service: str = "imap") -> str:
    answer = decided(checker, user, password, service).answer
    return answer.reason if isinstance(answer, Denied) else "allowed"


def finish(checker: Checker, verdict: LoginResult) -> None:
    """Do what authd does after the answer."""
    upgrade = verdict.upgrade
    checker.finish(verdict, password_hashes.hash_password(upgrade.password) if upgrade else None)


@pytest.mark.parametrize(
    "user", ["alice", "Alice", "alice@mail.example.edu", "ALICE+x@Mail.Example.EDU", " alice "]
)
def test_every_way_to_write_a_name_is_one_account(
    checker: Checker, empty_site: Site, user: str
) -> None:
    assert decided(checker, user, ALICE).answer == Allowed(
        user="alice",
        home=f"{empty_site.root}/mail/alice",
        uid=5000,
        gid=5000,
        quota=500 * 1024 * 1024,
    )


def test_the_quota_is_the_role_s_and_an_override_goes_before(
    checker: Checker, empty_site: Site
) -> None:
    empty_site.account("prof", "x", role="staff")
    answer = decided(checker, "prof", "x").answer
    assert isinstance(answer, Allowed)
    assert answer.quota == 5120 * 1024 * 1024
    accounts.set_fields(
        empty_site.store,
        empty_site.settings,
        "prof",
        fields={"mailbox": 7, "mailbox_until": 1000},
        change=CHANGE,
    )
    before, after = checker.lookup("prof"), checker.verify(Login("prof", "x"), now=999).answer
    assert before
    assert before.quota == 5120 * 1024 * 1024
    assert isinstance(after, Allowed)
    assert after.quota == 7


@pytest.mark.parametrize(
    ("user", "password", "reason"),
    [
        ("alice", "wrong", "wrong password"),
        ("alice", "", "wrong password"),
        ("alice", ALICE + "\udcff", "wrong password"),
        ("alice", "x" * 600, "wrong password"),
        ("nobody", ALICE, "unknown"),
        ("alice@gmail.com", ALICE, "unknown"),
        ("", ALICE, "unknown"),
        ("al\0ice", ALICE, "unknown"),
        ("al\udcffice", ALICE, "unknown"),
        ("a" * 10_000, ALICE, "unknown"),
        ("' OR 1=1 --", ALICE, "unknown"),
        ("erin", ALICE, "no password set"),
        ("carol", "carol's password", "suspended"),
        ("carol", "wrong", "wrong password"),
    ],
)
def test_who_is_refused_and_why(checker: Checker, user: str, password: str, reason: str) -> None:
    assert refused(checker, user, password) == reason


def test_a_site_may_keep_its_old_hashes(empty_site: Site) -> None:
    auth = empty_site.settings.auth.model_copy(update={"upgrade_hashes": False})
    settings = empty_site.settings.model_copy(update={"auth": auth})
    assert decided(Checker(empty_site.store, settings), "alice", ALICE).upgrade is None


def test_a_lookup_knows_accounts_without_a_password(checker: Checker) -> None:
    found = checker.lookup("alice@mail.example.edu")
    assert found
    assert found.user == "alice"
    assert checker.lookup("nobody") is None


def test_a_suspended_account_goes_on_receiving(checker: Checker) -> None:
    assert checker.lookup("carol")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the hashes that were really checked, as they are checked."""
    seen: list[str] = []
    real = password_hashes.verify

    def counted(password: str, stored: str) -> bool:
        seen.append(stored)
        return real(password, stored)

    monkeypatch.setattr(password_hashes, "verify", counted)
    return seen


@pytest.mark.parametrize("user", ["alice", "erin", "nobody"])
def test_every_login_costs_exactly_one_check(
    checker: Checker, hashed: list[str], user: str
) -> None:
    decided(checker, user, "wrong")
    assert len(hashed) == 1


def test_a_password_just_verified_is_not_hashed_again(checker: Checker, hashed: list[str]) -> None:
    for _ in range(3):
        assert refused(checker, "alice", ALICE) == "allowed"
    assert len(hashed) == 1


def test_the_memory_can_be_switched_off(empty_site: Site, hashed: list[str]) -> None:
    auth = empty_site.settings.auth.model_copy(update={"cache_seconds": 0})
    settings = empty_site.settings.model_copy(update={"auth": auth})
    checker = Checker(empty_site.store, settings)
    for _ in range(3):
        assert refused(checker, "alice", ALICE) == "allowed"
    assert len(hashed) == 3


def test_a_changed_password_ends_the_memory_of_the_old_one_at_once(
    checker: Checker, empty_site: Site
) -> None:
    assert refused(checker, "alice", ALICE) == "allowed"
    accounts.set_password(
        empty_site.store, empty_site.settings, "alice", cheap("new"), how="reset", change=CHANGE
    )
    assert refused(checker, "alice", ALICE) == "wrong password"
    assert refused(checker, "alice", "new") == "allowed"


def test_a_suspension_holds_at_once_for_a_remembered_password(
    checker: Checker, empty_site: Site
) -> None:
    assert refused(checker, "alice", ALICE) == "allowed"
    suspend(
        empty_site.store,
        empty_site.settings,
        "alice",
        scope="everything",
        seconds=None,
        change=CHANGE,
    )
    assert refused(checker, "alice", ALICE) == "suspended"


def guess(
    checker: Checker, times: int, *, remote: str = "198.51.100.9", user: str = "alice"
) -> None:
    for number in range(times):
        checker.verify(Login(user, f"guess {number}", "imap", remote))


def test_a_forgotten_phone_with_its_old_password_is_one_guess_and_one_hash(
    checker: Checker, hashed: list[str]
) -> None:
    for _ in range(ACCOUNT_BUDGET * 2):
        assert refused(checker, "alice", "my old password") != "allowed"
    assert len(hashed) == 1
    assert refused(checker, "alice", ALICE) == "allowed"


def test_guessing_is_stopped_even_for_the_right_password(checker: Checker) -> None:
    guess(checker, ACCOUNT_BUDGET)
    stranger = Login("alice", ALICE, "imap", "203.0.113.5")
    assert checker.verify(stranger).answer == Blocked()
    assert checker.verify(Login("nobody", ALICE, "imap", "203.0.113.5")).answer == Denied("unknown")


def test_a_remembered_password_is_no_oracle_for_a_blocked_guesser(checker: Checker) -> None:
    assert refused(checker, "alice", ALICE) == "allowed"
    guess(checker, ACCOUNT_BUDGET)
    assert checker.verify(Login("alice", ALICE, "imap", "203.0.113.5")).answer == Blocked()


def test_the_owner_gets_in_from_where_he_was_before(checker: Checker) -> None:
    finish(checker, decided(checker, "alice", ALICE))
    guess(checker, ACCOUNT_BUDGET * 2)
    assert refused(checker, "alice", ALICE) == "allowed"
    assert decided(checker, "alice", ALICE).network is None  # recorded today already


def test_guesses_at_the_same_moment_do_not_slip_through(checker: Checker) -> None:
    begun = [
        checker.begin(Login("alice", f"guess {number}", "imap", "198.51.100.9"))
        for number in range(ACCOUNT_BUDGET + 10)
    ]
    pending = [each for each in begun if isinstance(each, Pending)]
    assert pending == begun  # nobody is refused: nobody guessed yet
    assert [checker.admit(each) for each in pending] == [True] * ACCOUNT_BUDGET + [False] * 10
    for each in pending[:ACCOUNT_BUDGET]:
        checker.release(each)
    assert checker.admit(pending[-1])


def test_who_asked_before_another_failed_asks_again(checker: Checker) -> None:
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


def test_guessing_is_stopped_while_the_store_can_only_be_read(empty_site: Site) -> None:
    with reading(empty_site) as checker:
        answers = [
            checker.verify(Login("alice", f"guess {number}", "imap", "198.51.100.9")).answer
            for number in range(300)
        ]
        assert answers.count(Denied("wrong password")) == ACCOUNT_BUDGET
        assert answers.count(Blocked()) == 300 - ACCOUNT_BUDGET
        assert checker.verify(Login("alice", ALICE, "imap", "198.51.100.9")).answer == Blocked()
        assert isinstance(checker.verify(Login("bob", "bob's password")).answer, Allowed)


def test_what_was_counted_without_the_store_refills(empty_site: Site) -> None:
    with reading(empty_site) as checker:
        for number in range(ACCOUNT_BUDGET):
            checker.verify(Login("alice", f"guess {number}"), now=1000)
        assert checker.verify(Login("alice", ALICE), now=1000).answer == Blocked()
        later = 1000 + ACCOUNT_REFILL
        assert isinstance(checker.verify(Login("alice", ALICE), now=later).answer, Allowed)


def test_nothing_tells_a_name_known_in_a_closed_network_from_a_nobody(checker: Checker) -> None:
    finish(checker, decided(checker, "alice", ALICE))
    now = int(time.time())  # for all: on a busy machine they take until one is refilled
    for number in range(NETWORK_BUDGET):
        checker.verify(Login(f"name{number}", "guess", "imap", "192.0.2.7"), now=now)
    for password in ("wrong", "wrong", "wrong too"):
        for user in ("alice", "bob", "nobody"):
            login = Login(user, password, "imap", "192.0.2.7")
            assert checker.verify(login, now=now).answer == Blocked()
    assert refused(checker, "alice", ALICE) == "allowed"


def test_a_password_just_upgraded_is_remembered(checker: Checker, hashed: list[str]) -> None:
    finish(checker, decided(checker, "alice", ALICE))
    hashed.clear()
    assert refused(checker, "alice", ALICE) == "allowed"
    assert hashed == []


def test_an_old_hash_is_upgraded_after_the_right_password_only(
    checker: Checker, empty_site: Site
) -> None:
    assert decided(checker, "alice", "wrong").upgrade is None
    finish(checker, decided(checker, "alice", ALICE))
    assert empty_site.stored("alice").startswith("{ARGON2ID}")
    verdict = decided(checker, "alice", ALICE)
    assert isinstance(verdict.answer, Allowed)
    assert verdict.upgrade is None


def test_a_hash_that_cut_the_password_is_not_upgraded_to_a_mistyped_tail(
    checker: Checker, empty_site: Site
) -> None:
    stored = "{CRYPT}" + libcrypt.crypt(b"correct horse", b"ab").decode()  # DES: reads 8 bytes
    accounts.set_password(
        empty_site.store, empty_site.settings, "alice", stored, how="reset", change=CHANGE
    )
    for typed in ("correct hosre", "correct "):
        verdict = decided(checker, "alice", typed)
        assert isinstance(verdict.answer, Allowed)
        assert verdict.upgrade is None


def test_a_password_changed_meanwhile_wins_over_an_upgrade(
    checker: Checker, empty_site: Site
) -> None:
    verdict = decided(checker, "alice", ALICE)
    new = cheap("another password")
    accounts.set_password(
        empty_site.store, empty_site.settings, "alice", new, how="changed", change=CHANGE
    )
    finish(checker, verdict)
    assert empty_site.stored("alice") == new


def test_work_without_a_store_is_left_for_the_next_login(
    empty_site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    away = Checker(Store("sqlite:////nonexistent/gatepost.db"), empty_site.settings)
    with caplog.at_level(logging.WARNING):
        away.finish(LoginResult(Denied(""), upgrade=Upgrade(1, "a", "{PLAIN}x", "x")), "{PLAIN}y")
    assert "event=write-skipped" in caplog.text


def test_a_store_that_is_away_is_never_a_wrong_password(empty_site: Site) -> None:
    away = Checker(Store("sqlite:////nonexistent/gatepost.db"), empty_site.settings)
    with pytest.raises(StoreUnavailable):
        away.verify(Login("alice", ALICE))
    with pytest.raises(StoreUnavailable):
        away.lookup("alice")


def test_a_hash_that_cannot_be_checked_is_never_a_wrong_password(
    checker: Checker, empty_site: Site
) -> None:
    accounts.set_password(
        empty_site.store, empty_site.settings, "alice", "{OTP}x", how="reset", change=CHANGE
    )
    with pytest.raises(UnknownScheme):
        decided(checker, "alice", ALICE)


def test_nothing_that_may_be_printed_shows_a_password() -> None:
    assert "canary" not in repr(Login("alice", "canary"))
    assert "canary" not in repr(
        LoginResult(Denied("x"), upgrade=Upgrade(1, "a", "{PLAIN}canary", "canary"))
    )
