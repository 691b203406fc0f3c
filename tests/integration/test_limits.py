"""Large numbers of mails from one computer or one account are stopped, and said why (R12)."""

import json
import re
import time

import pytest

from tests.integration.conftest import People
from tests.stack import messages
from tests.stack.clients import Answer
from tests.stack.postfix import OUTSIDE
from tests.stack.stack import Account, Stack

CLIENT_LIMIT = 200  # recipients an hour, as shipped
ALUMNI_LIMIT = 100
SOON = 2.0  # seconds: R18


def burst(stack: Stack, person: Account, recipients: int, *, computer: str) -> Answer:
    """Send one mail to many outside recipients."""
    to = [f"reader{number}@{OUTSIDE}" for number in range(recipients)]
    message = messages.plain("news")
    return stack.clients.submit(person.login, message, to=to, computer=computer)


def use_up(stack: Stack, person: Account, *, computer: str) -> None:
    """Send as much from *computer* as its limit allows."""
    for _ in range(CLIENT_LIMIT // 100):
        assert burst(stack, person, 100, computer=computer).accepted


def test_a_burst_meets_the_limit_and_is_told_why_and_until_when(stack: Stack) -> None:
    person, computer = stack.add_account("staff"), stack.computer()
    use_up(stack, person, computer=computer)
    answer = burst(stack, person, 1, computer=computer)
    assert answer.code == 450
    assert answer.text.startswith("4.7.1 ")
    assert f"200 recipients per hour for {computer}" in answer.text
    assert "200 used" in answer.text
    assert re.search(
        r"Try again at \d\d:\d\d( on \d+ \w+)?, or register this computer", answer.text
    )


def test_a_mail_that_does_not_fit_is_charged_to_nobody(stack: Stack) -> None:
    person, computer = stack.add_account("staff"), stack.computer()
    assert burst(stack, person, 100, computer=computer).accepted
    assert burst(stack, person, 99, computer=computer).accepted
    assert burst(stack, person, 2, computer=computer).code == 450
    assert burst(stack, person, 1, computer=computer).accepted


def test_another_computer_of_the_same_person_is_free(stack: Stack) -> None:
    person, computer = stack.add_account("staff"), stack.computer()
    use_up(stack, person, computer=computer)
    assert burst(stack, person, 1, computer=stack.computer()).accepted


def test_an_account_is_limited_on_all_its_computers_together(stack: Stack) -> None:
    person = stack.add_account("alumni")
    stack.settle()
    assert burst(stack, person, ALUMNI_LIMIT, computer=stack.computer()).accepted
    answer = burst(stack, person, 1, computer=stack.computer())
    assert answer.code == 450
    assert f"100 recipients per hour for {person.name}" in answer.text


def test_too_many_recipients_of_one_mail_are_refused(stack: Stack, people: People) -> None:
    answer = burst(stack, people.staff, 101, computer=stack.computer())
    assert (answer.stage, answer.code) == ("DATA", 550)
    assert "at most 100" in answer.text


@pytest.fixture(scope="module")
def campus_computer(stack: Stack) -> str:
    """Return the address of a computer of the campus that sends through port 25."""
    stack.reconfigure({"site": {"campus_networks": ["192.0.2.0/24", "127.2.0.0/16"]}})
    return "127.2.0.1"


@pytest.mark.parametrize("sender", ["somebody@elsewhere.example", ""], ids=["mail", "bounce"])
def test_mail_from_the_world_is_never_charged_to_a_sending_limit(
    stack: Stack, people: People, *, sender: str
) -> None:
    computer = stack.computer()
    deliver_three(stack, people, sender, computer)
    assert used_by(stack, computer) == 0
    log = (stack.layout.log / "policyd.log").read_text()
    assert f"client={computer} recipients=2 verdict=DUNNO reason=inbound" in log


def test_a_campus_computer_is_charged_without_a_login_and_without_a_sender(
    stack: Stack, people: People, campus_computer: str
) -> None:
    deliver_three(stack, people, "lab@mail.example.edu", campus_computer)
    assert used_by(stack, campus_computer) == 6
    deliver_three(stack, people, "", campus_computer)
    assert used_by(stack, campus_computer) == 12


def deliver_three(stack: Stack, people: People, sender: str, computer: str) -> None:
    to = [people.student.address, people.staff.address]
    for _ in range(3):
        message = messages.plain("hi")
        answer = stack.clients.deliver(message, to=to, sender=sender, computer=computer)
        assert answer.accepted


def used_by(stack: Stack, computer: str) -> int:
    (shown,) = json.loads(stack.gatepost("limit", "show", computer, "--json").stdout)
    return int(shown["used"])


def test_a_message_with_an_empty_sender_is_charged_to_its_account(stack: Stack) -> None:
    person, computer = stack.add_account("staff"), stack.computer()
    stack.settle()
    with stack.clients.open_submission(computer) as session:
        session.login(person.login.name, person.login.password)
        assert session.sendmail("", [f"reader@{OUTSIDE}"], messages.plain("news")) == {}
    shown = stack.gatepost("limit", "show", person.name, "--json")
    assert {row["used"] for row in json.loads(shown.stdout)} == {1}


def test_an_exemption_lifts_the_limit_at_once_and_its_end_brings_it_back(stack: Stack) -> None:
    person, computer = stack.add_account("staff"), stack.computer()
    use_up(stack, person, computer=computer)
    assert burst(stack, person, 1, computer=computer).code == 450
    words = ("whitelist", "add", computer, "--for", "8s", "--reason", "newsletter")
    stack.gatepost(*words).check_returncode()
    added = time.monotonic()
    stack.until_accepted(lambda: burst(stack, person, 1, computer=computer))
    assert time.monotonic() - added < SOON
    while time.monotonic() - added < 8:
        time.sleep(0.1)
    assert burst(stack, person, 1, computer=computer).code == 450


def test_a_revoked_exemption_ends_at_once(stack: Stack) -> None:
    person, computer = stack.add_account("staff"), stack.computer()
    use_up(stack, person, computer=computer)
    words = ("whitelist", "add", computer, "--permanent", "--reason", "newsletter")
    stack.gatepost(*words).check_returncode()
    stack.until_accepted(lambda: burst(stack, person, 1, computer=computer))
    stack.gatepost("whitelist", "revoke", computer).check_returncode()
    stack.until_refused(lambda: burst(stack, person, 1, computer=computer))


def test_an_exempt_computer_does_not_free_the_account(stack: Stack) -> None:
    person, computer = stack.add_account("alumni"), stack.computer()
    words = ("whitelist", "add", computer, "--permanent", "--reason", "lab")
    stack.gatepost(*words).check_returncode()
    stack.settle()
    assert burst(stack, person, ALUMNI_LIMIT, computer=computer).accepted
    assert burst(stack, person, 1, computer=computer).code == 450


def test_a_suspended_account_sends_nothing_and_still_receives(stack: Stack, subject: str) -> None:
    person = stack.add_account("student")
    words = ("account", "suspend", person.name, "--reason", "password phished, ticket 4711")
    stack.gatepost(*words).check_returncode()
    answer = stack.until_refused(lambda: burst(stack, person, 1, computer=stack.computer()))
    assert (answer.stage, answer.code) == ("RCPT", 550)
    assert "Sending is stopped" in answer.text
    assert "password phished, ticket 4711" in answer.text
    assert stack.clients.deliver(messages.plain(subject), to=[person.address]).accepted
    with stack.clients.imap(person.login) as mailbox:
        mailbox.wait_for(subject)


@pytest.mark.usefixtures("trouble")
def test_a_restart_of_policyd_forgets_nothing(stack: Stack) -> None:
    person, computer = stack.add_account("staff"), stack.computer()
    use_up(stack, person, computer=computer)
    policyd = stack.services.processes["policyd"]
    policyd.kill()
    policyd.start()
    assert burst(stack, person, 1, computer=computer).code == 450
