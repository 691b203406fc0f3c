"""The decision, on a real store, without any transport."""

import logging

import pytest

from dovecot_auth.check import Checker
from dovecot_auth.verdict import Allowed, Denied, Login, LoginResult, Upgrade
from store.engine import Store
from store.errors import StoreUnavailable
from store.logins import libcrypt
from store.logins.schemes import UnknownScheme
from store.people import accounts
from store.people.suspension import suspend
from tests.dovecot_auth.logins import PASSWORD, decide, finish, outcome
from tests.dovecot_auth.site import CHANGE, Site, cheap


@pytest.mark.parametrize(
    "user", ["alice", "Alice", "alice@mail.example.edu", "ALICE+x@Mail.Example.EDU", " alice "]
)
def test_every_spelling_of_a_name_is_one_account(
    checker: Checker, empty_site: Site, user: str
) -> None:
    assert decide(checker, user, PASSWORD).answer == Allowed(
        user="alice",
        home=f"{empty_site.root}/mail/alice",
        uid=5000,
        gid=5000,
        quota=500 * 1024 * 1024,
    )


def test_the_quota_is_that_of_the_role_unless_overridden(
    checker: Checker, empty_site: Site
) -> None:
    empty_site.account("prof", "x", role="staff")
    answer = decide(checker, "prof", "x").answer
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
        ("alice", PASSWORD + "\udcff", "wrong password"),
        ("alice", "x" * 600, "wrong password"),
        ("nobody", PASSWORD, "unknown"),
        ("alice@gmail.com", PASSWORD, "unknown"),
        ("", PASSWORD, "unknown"),
        ("al\0ice", PASSWORD, "unknown"),
        ("al\udcffice", PASSWORD, "unknown"),
        ("a" * 10_000, PASSWORD, "unknown"),
        ("' OR 1=1 --", PASSWORD, "unknown"),
        ("erin", PASSWORD, "no password set"),
        ("carol", "carol's password", "suspended"),
        ("carol", "wrong", "wrong password"),
    ],
)
def test_a_refusal_logs_its_reason(checker: Checker, user: str, password: str, reason: str) -> None:
    assert outcome(checker, user, password) == reason


def test_hashes_stay_as_they_are_when_upgrades_are_off(empty_site: Site) -> None:
    auth = empty_site.settings.auth.model_copy(update={"upgrade_hashes": False})
    settings = empty_site.settings.model_copy(update={"auth": auth})
    assert decide(Checker(empty_site.store, settings), "alice", PASSWORD).upgrade is None


def test_a_lookup_finds_accounts_without_a_password(checker: Checker) -> None:
    found = checker.lookup("alice@mail.example.edu")
    assert found
    assert found.user == "alice"
    assert checker.lookup("nobody") is None


def test_a_suspended_account_still_receives(checker: Checker) -> None:
    assert checker.lookup("carol")


@pytest.mark.parametrize("user", ["alice", "erin", "nobody"])
def test_every_login_costs_exactly_one_check(
    checker: Checker, hashed: list[str], user: str
) -> None:
    decide(checker, user, "wrong")
    assert len(hashed) == 1


def test_a_cached_password_is_not_hashed_again(checker: Checker, hashed: list[str]) -> None:
    for _ in range(3):
        assert outcome(checker, "alice", PASSWORD) == "allowed"
    assert len(hashed) == 1


def test_the_cache_can_be_switched_off(empty_site: Site, hashed: list[str]) -> None:
    auth = empty_site.settings.auth.model_copy(update={"cache_seconds": 0})
    settings = empty_site.settings.model_copy(update={"auth": auth})
    checker = Checker(empty_site.store, settings)
    for _ in range(3):
        assert outcome(checker, "alice", PASSWORD) == "allowed"
    assert len(hashed) == 3


def test_a_changed_password_is_not_allowed_from_the_cache(
    checker: Checker, empty_site: Site
) -> None:
    assert outcome(checker, "alice", PASSWORD) == "allowed"
    accounts.set_password(
        empty_site.store, empty_site.settings, "alice", cheap("new"), how="reset", change=CHANGE
    )
    assert outcome(checker, "alice", PASSWORD) == "wrong password"
    assert outcome(checker, "alice", "new") == "allowed"


def test_a_suspension_holds_at_once_for_a_cached_password(
    checker: Checker, empty_site: Site
) -> None:
    assert outcome(checker, "alice", PASSWORD) == "allowed"
    suspend(
        empty_site.store,
        empty_site.settings,
        "alice",
        scope="everything",
        seconds=None,
        change=CHANGE,
    )
    assert outcome(checker, "alice", PASSWORD) == "suspended"


def test_a_password_just_upgraded_is_cached(checker: Checker, hashed: list[str]) -> None:
    finish(checker, decide(checker, "alice", PASSWORD))
    hashed.clear()
    assert outcome(checker, "alice", PASSWORD) == "allowed"
    assert hashed == []


def test_an_old_hash_is_upgraded_only_by_the_right_password(
    checker: Checker, empty_site: Site
) -> None:
    assert decide(checker, "alice", "wrong").upgrade is None
    finish(checker, decide(checker, "alice", PASSWORD))
    assert empty_site.stored("alice").startswith("{ARGON2ID}")
    result = decide(checker, "alice", PASSWORD)
    assert isinstance(result.answer, Allowed)
    assert result.upgrade is None


def test_a_hash_that_ignores_the_tail_of_a_password_is_not_upgraded(
    checker: Checker, empty_site: Site
) -> None:
    stored = "{CRYPT}" + libcrypt.crypt(b"correct horse", b"ab").decode()  # DES: reads 8 bytes
    accounts.set_password(
        empty_site.store, empty_site.settings, "alice", stored, how="reset", change=CHANGE
    )
    for typed in ("correct hosre", "correct "):
        result = decide(checker, "alice", typed)
        assert isinstance(result.answer, Allowed)
        assert result.upgrade is None


def test_a_password_change_wins_over_an_upgrade(checker: Checker, empty_site: Site) -> None:
    result = decide(checker, "alice", PASSWORD)
    new = cheap("another password")
    accounts.set_password(
        empty_site.store, empty_site.settings, "alice", new, how="changed", change=CHANGE
    )
    finish(checker, result)
    assert empty_site.stored("alice") == new


def test_without_the_store_writes_are_left_to_the_next_login(
    empty_site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    checker = Checker(Store("sqlite:////nonexistent/gatepost.db"), empty_site.settings)
    with caplog.at_level(logging.WARNING):
        checker.finish(
            LoginResult(Denied(""), upgrade=Upgrade(1, "a", "{PLAIN}x", "x")), "{PLAIN}y"
        )
    assert "event=write-skipped" in caplog.text


def test_an_unavailable_store_is_never_a_wrong_password(empty_site: Site) -> None:
    checker = Checker(Store("sqlite:////nonexistent/gatepost.db"), empty_site.settings)
    with pytest.raises(StoreUnavailable):
        checker.verify(Login("alice", PASSWORD))
    with pytest.raises(StoreUnavailable):
        checker.lookup("alice")


def test_an_unusable_hash_is_never_a_wrong_password(checker: Checker, empty_site: Site) -> None:
    accounts.set_password(
        empty_site.store, empty_site.settings, "alice", "{OTP}x", how="reset", change=CHANGE
    )
    with pytest.raises(UnknownScheme):
        decide(checker, "alice", PASSWORD)


def test_no_repr_shows_a_password() -> None:
    assert "canary" not in repr(Login("alice", "canary"))
    assert "canary" not in repr(
        LoginResult(Denied("x"), upgrade=Upgrade(1, "a", "{PLAIN}canary", "canary"))
    )
