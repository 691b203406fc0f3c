"""The decision, on a real store, without any transport."""

import logging

import pytest

from dovecot_auth.check import Allowed, Checker, Login, Refused, Upgrade, Verdict
from store import accounts, passwords
from store.engine import Store
from store.errors import StoreUnavailable
from store.passwords import UnknownScheme
from tests.dovecot_auth.place import CHANGE, Place, cheap

ALICE = "alice's password"


@pytest.fixture
def checker(empty_house: Place) -> Checker:
    return Checker(empty_house.store, empty_house.settings)


def decided(checker: Checker, user: str, password: str, service: str = "imap") -> Verdict:
    return checker.verify(Login(user, password, service, "192.0.2.7"))


def refused(checker: Checker, user: str, password: str, service: str = "imap") -> str:
    answer = decided(checker, user, password, service).answer
    return answer.reason if isinstance(answer, Refused) else "allowed"


@pytest.mark.parametrize(
    "user", ["alice", "Alice", "alice@mail.example.edu", "ALICE+x@Mail.Example.EDU", " alice "]
)
def test_every_way_to_write_a_name_is_one_account(
    checker: Checker, empty_house: Place, user: str
) -> None:
    assert decided(checker, user, ALICE).answer == Allowed(
        user="alice",
        home=f"{empty_house.root}/mail/alice",
        uid=5000,
        gid=5000,
        quota=500 * 1024 * 1024,
    )


def test_the_quota_is_the_role_s_and_an_override_goes_before(
    checker: Checker, empty_house: Place
) -> None:
    empty_house.account("prof", "x", role="staff")
    answer = decided(checker, "prof", "x").answer
    assert isinstance(answer, Allowed)
    assert answer.quota == 5120 * 1024 * 1024
    accounts.set_fields(
        empty_house.store,
        empty_house.settings,
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


@pytest.mark.parametrize("service", ["smtp", "submission"])
def test_who_may_not_send_may_still_read(checker: Checker, service: str) -> None:
    assert refused(checker, "dave", "dave's password", service) == "suspended from sending"
    assert refused(checker, "dave", "dave's password", "imap") == "allowed"
    assert refused(checker, "dave", "dave's password", "pop3") == "allowed"


def test_an_initial_password_may_be_kept_from_sending(empty_house: Place) -> None:
    where = empty_house
    accounts.set_password(
        where.store,
        where.settings,
        "alice",
        cheap(ALICE),
        how="initial",
        initial=True,
        change=CHANGE,
    )
    assert refused(Checker(where.store, where.settings), "alice", ALICE, "smtp") == "allowed"
    auth = where.settings.auth.model_copy(update={"initial_may_send": False})
    strict = Checker(where.store, where.settings.model_copy(update={"auth": auth}))
    assert refused(strict, "alice", ALICE, "smtp") == "still on the initial password"
    assert refused(strict, "alice", ALICE, "imap") == "allowed"
    assert refused(strict, "bob", "bob's password", "smtp") == "allowed"


def test_a_site_may_keep_its_old_hashes(empty_house: Place) -> None:
    auth = empty_house.settings.auth.model_copy(update={"upgrade_hashes": False})
    settings = empty_house.settings.model_copy(update={"auth": auth})
    assert decided(Checker(empty_house.store, settings), "alice", ALICE).upgrade is None


def test_a_lookup_knows_accounts_without_a_password(checker: Checker) -> None:
    found = checker.lookup("alice@mail.example.edu")
    assert found
    assert found.user == "alice"
    assert checker.lookup("nobody") is None


def test_a_suspended_account_goes_on_receiving(checker: Checker) -> None:
    assert checker.lookup("carol")


@pytest.mark.parametrize("user", ["alice", "nobody"])
def test_every_login_costs_exactly_one_check(
    checker: Checker, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    seen: list[str] = []
    real = passwords.verify

    def counted(password: str, stored: str) -> bool:
        seen.append(stored)
        return real(password, stored)

    monkeypatch.setattr(passwords, "verify", counted)
    decided(checker, user, "wrong")
    assert len(seen) == 1


def test_an_old_hash_is_upgraded_after_the_right_password_only(
    checker: Checker, empty_house: Place
) -> None:
    assert decided(checker, "alice", "wrong").upgrade is None
    todo = decided(checker, "alice", ALICE).upgrade
    assert todo
    checker.upgrade(todo)
    assert empty_house.stored("alice").startswith("{ARGON2ID}")
    verdict = decided(checker, "alice", ALICE)
    assert isinstance(verdict.answer, Allowed)
    assert verdict.upgrade is None


def test_a_password_changed_meanwhile_wins_over_an_upgrade(
    checker: Checker, empty_house: Place
) -> None:
    todo = decided(checker, "alice", ALICE).upgrade
    assert todo
    new = cheap("another password")
    accounts.set_password(
        empty_house.store, empty_house.settings, "alice", new, how="changed", change=CHANGE
    )
    checker.upgrade(todo)
    assert empty_house.stored("alice") == new


def test_an_upgrade_without_a_store_is_left_for_the_next_login(
    empty_house: Place, caplog: pytest.LogCaptureFixture
) -> None:
    away = Checker(Store("sqlite:////nonexistent/gatepost.db"), empty_house.settings)
    with caplog.at_level(logging.WARNING):
        away.upgrade(Upgrade(1, "{PLAIN}x", "x"))
    assert "hash not upgraded" in caplog.text


def test_a_store_that_is_away_is_never_a_wrong_password(empty_house: Place) -> None:
    away = Checker(Store("sqlite:////nonexistent/gatepost.db"), empty_house.settings)
    with pytest.raises(StoreUnavailable):
        away.verify(Login("alice", ALICE))
    with pytest.raises(StoreUnavailable):
        away.lookup("alice")


def test_a_hash_that_cannot_be_checked_is_never_a_wrong_password(
    checker: Checker, empty_house: Place
) -> None:
    accounts.set_password(
        empty_house.store, empty_house.settings, "alice", "{OTP}x", how="reset", change=CHANGE
    )
    with pytest.raises(UnknownScheme):
        decided(checker, "alice", ALICE)


def test_nothing_that_may_be_printed_shows_a_password() -> None:
    assert "canary" not in repr(Login("alice", "canary"))
    assert "canary" not in repr(Verdict(Refused("x"), Upgrade(1, "{PLAIN}canary", "canary")))
