"""gatepost 0.1.0, upgraded by the page while users sign in and send."""

from collections.abc import Iterator

import pytest

from tests.existing import first_release, things, traffic
from tests.existing.machine import Machine, running
from tests.existing.terminal import SITE, follow, inside, observe
from tests.existing.trial import used

SECONDS = 900
# Differs from a site without gatepost: 0.1.0 had port 465 opened.
EXPECTED = {
    **things.EXPECTED,
    "port 465 is closed": "open",
    "anna has a quota": str(5 << 20),  # KiB
}
PROMISES = (
    "an_account_is_charged_on_the_submission_port",
    "an_account_is_limited_on_the_submission_port",
    "attachments_are_measured_by_the_role_of_the_reader",
    "a_full_mailbox_is_refused_at_rcpt_until_it_is_emptied",
    "a_suspended_account_neither_signs_in_nor_sends",
)
# Accounts that only 0.1.0 changes: one with a new password, one suspended.
OLD_ACCOUNTS = """\
echo 'chosen with 0.1.0' | gatepost account add ulla --role student --password-stdin
echo 'chosen with 0.1.0' | gatepost account add viktor --role student --password-stdin
gatepost account suspend viktor --scope everything --reason phished
"""
# Logins in progress when Dovecot is reloaded: at most one for each thread of the traffic.
INTERRUPTED = 5
LOGIN = "doveadm auth test {} 'chosen with 0.1.0'"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS)]


@pytest.fixture(scope="module", params=["bookworm"])
def machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """Return a booted Debian with the site's mail server and gatepost 0.1.0 on it."""
    with running(request.param, tmp_path_factory.mktemp(request.param)) as booted:
        booted.run(SITE)
        first_release.install(booted)
        yield booted


def test_0_1_0_is_upgraded_without_one_failed_login(machine: Machine) -> None:
    machine.run(OLD_ACCOUNTS)
    for client in traffic.CLIENTS:
        machine.run(f"gatepost whitelist add {client} --permanent --reason test")
    with traffic.running(machine) as seen:
        follow(machine, "Upgrade")
    print(
        f"{seen.logins} logins, the slowest {seen.slowest_login} s; {len(seen.deferred)} deferred"
    )
    print(*seen.interrupted, sep="\n")
    assert seen.failed_logins == []
    assert len(seen.interrupted) < INTERRUPTED
    assert seen.refused == []
    assert min(seen.logins, seen.submitted, seen.delivered) > 20, seen
    # While the milter restarts.
    assert [text for text in seen.deferred if "try again later" not in text.lower()] == []

    everything_reads_the_new_release(machine)
    # Charges of 0.1.0 and of the new release: none was lost on the way.
    assert sum(used(machine, name) for name in things.ACCOUNTS) >= seen.submitted
    machine.wait_for("postqueue -f; postqueue -p | grep -x 'Mail queue is empty'")
    accounts_are_as_0_1_0_left_them(machine)
    assert things.differing(observe(machine, "upgraded"), EXPECTED) == {}
    assert inside(machine, "tests.existing.trial", *PROMISES).split() == list(PROMISES)
    setup_neither_doubles_nor_breaks_what_was_done_by_hand(machine)


def everything_reads_the_new_release(machine: Machine) -> None:
    """Nothing is set twice, nothing is left to set up, and the links lead to installed files."""
    assert "good" in machine.run("gatepost config check")
    machine.run("gatepost db upgrade")
    assert machine.run("postconf -n 2>&1 >/dev/null") == ""
    for name in ("share", "checkpassword", "passdb.lua"):
        assert "/site-packages/" in machine.run(f"realpath -e /opt/gatepost/{name}")
    shown = machine.run("gatepost setup all")
    assert shown.count("already set up") == 2, shown
    assert "differs from the file of 0.1.0" not in shown
    assert machine.run("systemctl --failed --no-legend") == ""


def accounts_are_as_0_1_0_left_them(machine: Machine) -> None:
    machine.run(LOGIN.format("ulla"))
    assert machine.try_run(LOGIN.format("viktor")).code != 0
    machine.run("gatepost account resume viktor")
    machine.wait_for(LOGIN.format("viktor"))


def setup_neither_doubles_nor_breaks_what_was_done_by_hand(machine: Machine) -> None:
    """Postfix asks once, by the lines of 0.1.0, and its services are not taken away under it."""
    before = machine.run("cat /etc/postfix/main.cf")
    for command in ("setup postfix --apply", "setup system --undo"):
        done = machine.try_run(f"gatepost {command}")
        assert done.code == 1, done.text
        assert "by hand" in done.text
    assert machine.run("cat /etc/postfix/main.cf") == before
    machine.run("systemctl is-active gatepost-policyd gatepost-milter gatepost-authd")
