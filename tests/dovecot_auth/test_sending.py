"""Who may not send: signs in all the same, but for Dovecot's own submission server."""

import pytest

from dovecot_auth.check import Checker
from store.people import accounts
from tests.dovecot_auth.site import CHANGE, Site, cheap
from tests.dovecot_auth.test_check import ALICE, refused


@pytest.fixture
def checker(empty_site: Site) -> Checker:
    return Checker(empty_site.store, empty_site.settings)


@pytest.mark.parametrize("service", ["imap", "pop3", "smtp", ""])
def test_who_may_not_send_signs_in_everywhere(checker: Checker, service: str) -> None:
    assert refused(checker, "dave", "dave's password", service) == "allowed"


def test_who_may_not_send_cannot_send_through_dovecots_own_submission(checker: Checker) -> None:
    assert refused(checker, "dave", "dave's password", "submission") == "suspended from sending"


def test_an_initial_password_may_be_kept_from_sending(empty_site: Site) -> None:
    site = empty_site
    accounts.set_password(
        site.store,
        site.settings,
        "alice",
        cheap(ALICE),
        how="initial",
        initial=True,
        change=CHANGE,
    )
    assert refused(Checker(site.store, site.settings), "alice", ALICE, "smtp") == "allowed"
    auth = site.settings.auth.model_copy(update={"initial_may_send": False})
    strict = Checker(site.store, site.settings.model_copy(update={"auth": auth}))
    assert refused(strict, "alice", ALICE, "submission") == "still on the initial password"
    for service in ("imap", "pop3", "smtp"):
        assert refused(strict, "alice", ALICE, service) == "allowed"
    assert refused(strict, "bob", "bob's password", "submission") == "allowed"
