"""SIGHUP and second starts: authd keeps what it knows, and a socket in use is left alone."""

import os
import signal
import time
from pathlib import Path

import pytest

from dovecot_auth.check import Checker
from dovecot_auth.verdict import Blocked
from store.logins.budgets import ACCOUNT_BUDGET
from store.logins.guesses import budget_state
from tests.dovecot_auth.logins import decide
from tests.dovecot_auth.site import ALICE, Site, until
from tests.stack.probes import answers
from tests.store.read_only import read_only

pytestmark = pytest.mark.integration  # processes


def left(site: Site) -> int:
    """Return how many failures alice has left, according to the store."""
    with site.store.connection() as connection:
        at = int(time.time())
        found = budget_state(connection, name="alice", account=None, remote="", now=at)
    return min(found.left.values())


def reloaded(site: Site, times: int) -> bool:
    log = site.root / "authd.log"
    return until(lambda: log.read_text().count("event=reloaded") == times)


def test_a_reload_keeps_the_cached_passwords(empty_site: Site) -> None:
    site = empty_site
    wrong = {**ALICE, "password": "an old password of a forgotten phone", "remote": ""}
    with site.running() as authd:
        assert site.ask("/verify", **wrong)[0] == 401
        assert until(lambda: left(site) == ACCOUNT_BUDGET - 1)
        authd.signal(signal.SIGHUP)
        assert reloaded(site, 1)
        # Repeating a wrong password is not another guess.
        assert site.ask("/verify", **wrong)[0] == 401
        assert site.ask("/verify", **{**wrong, "password": "another"})[0] == 401
        assert until(lambda: left(site) == ACCOUNT_BUDGET - 2)
    log = (site.root / "authd.log").read_text()
    assert log.count("the same wrong password again") == 1


def test_a_reload_keeps_the_failures_that_the_store_could_not_take(empty_site: Site) -> None:
    url = f"sqlite:///{empty_site.root}/gatepost.db"
    before, after = read_only(url), read_only(url)
    checker = Checker(before, empty_site.settings)
    for number in range(ACCOUNT_BUDGET):
        decide(checker, "alice", f"a guess number {number}")
    assert checker.use(after, empty_site.settings) is before
    before.close()
    assert isinstance(decide(checker, "alice", ALICE["password"]).answer, Blocked)
    after.close()


def test_reloads_leave_no_connection_to_the_store_behind(empty_site: Site) -> None:
    def connections_to_store(pid: int) -> int:
        folder = Path(f"/proc/{pid}/fd")
        return sum("gatepost.db" in str(each.readlink()) for each in folder.iterdir())

    site = empty_site
    with site.running() as authd:
        for number in range(1, 11):
            assert site.ask("/user", user="alice")[0] == 200
            authd.signal(signal.SIGHUP)
            assert reloaded(site, number)
            assert connections_to_store(authd.pid) == 0
        assert site.ask("/user", user="alice")[0] == 200


def test_logins_continue_while_the_settings_are_read(empty_site: Site) -> None:
    site = empty_site
    with site.running() as authd:
        text = site.config.read_text()
        site.config.unlink()
        os.mkfifo(site.config)  # a file that is slow to read
        authd.signal(signal.SIGHUP)
        # open() returns once authd has opened it for reading.
        with site.config.open("w") as slow:
            for _ in range(3):
                assert site.ask("/verify", **ALICE)[0] == 200
            slow.write(text)
        assert reloaded(site, 1)
        assert site.ask("/verify", **ALICE)[0] == 200


def test_a_second_authd_leaves_the_socket_of_the_first_alone(empty_site: Site) -> None:
    site = empty_site
    with site.running() as first:
        second = site.authd()
        second.launch()
        assert until(lambda: not second.alive, seconds=30)
        assert second.stop() == os.EX_UNAVAILABLE
        assert answers(site.socket)
        assert site.ask("/verify", **ALICE)[0] == 200
        assert first.alive
    assert "event=cannot-listen" in (site.root / "authd.log").read_text()


def test_a_socket_whose_owner_is_too_busy_to_accept_is_left_alone(empty_site: Site) -> None:
    site = empty_site
    with site.running() as first:
        first.signal(signal.SIGSTOP)
        try:
            second = site.authd()
            second.launch()
            assert until(lambda: not second.alive, seconds=30)
            assert second.stop() == os.EX_UNAVAILABLE
        finally:
            first.signal(signal.SIGCONT)
        assert answers(site.socket)
        assert site.ask("/verify", **ALICE)[0] == 200
