"""Who may not send: signs in all the same, but for Dovecot's own submission server."""

import pytest

from dovecot_auth.check import Checker
from store.people import accounts
from tests.dovecot_auth.site import CHANGE, Place, cheap
from tests.dovecot_auth.test_check import ALICE, refused


@pytest.fixture
def checker(empty_house: Place) -> Checker:
    return Checker(empty_house.store, empty_house.settings)


@pytest.mark.parametrize("service", ["imap", "pop3", "smtp", ""])
def test_who_may_not_send_signs_in_everywhere(checker: Checker, service: str) -> None:
    assert refused(checker, "dave", "dave's password", service) == "allowed"


def test_who_may_not_send_cannot_send_through_dovecots_own_submission(checker: Checker) -> None:
    assert refused(checker, "dave", "dave's password", "submission") == "suspended from sending"


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
    assert refused(strict, "alice", ALICE, "submission") == "still on the initial password"
    for service in ("imap", "pop3", "smtp"):
        assert refused(strict, "alice", ALICE, service) == "allowed"
    assert refused(strict, "bob", "bob's password", "submission") == "allowed"
