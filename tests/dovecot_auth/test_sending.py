"""Accounts that may not send still sign in, except to Dovecot's own submission server."""

import pytest

from dovecot_auth.check import Checker
from store.people import accounts
from tests.dovecot_auth.logins import PASSWORD, outcome
from tests.dovecot_auth.site import CHANGE, Site, cheap


@pytest.mark.parametrize("service", ["imap", "pop3", "smtp", ""])
def test_a_suspension_from_sending_lets_the_account_sign_in(checker: Checker, service: str) -> None:
    assert outcome(checker, "dave", "dave's password", service) == "allowed"


def test_a_suspension_from_sending_closes_dovecots_own_submission(checker: Checker) -> None:
    assert outcome(checker, "dave", "dave's password", "submission") == "suspended from sending"


def test_a_site_may_keep_initial_passwords_from_sending(empty_site: Site) -> None:
    site = empty_site
    accounts.set_password(
        site.store,
        site.settings,
        "alice",
        cheap(PASSWORD),
        how="initial",
        initial=True,
        change=CHANGE,
    )
    assert outcome(Checker(site.store, site.settings), "alice", PASSWORD, "smtp") == "allowed"
    auth = site.settings.auth.model_copy(update={"initial_may_send": False})
    strict = Checker(site.store, site.settings.model_copy(update={"auth": auth}))
    assert outcome(strict, "alice", PASSWORD, "submission") == "still on the initial password"
    for service in ("imap", "pop3", "smtp"):
        assert outcome(strict, "alice", PASSWORD, service) == "allowed"
    assert outcome(strict, "bob", "bob's password", "submission") == "allowed"
