"""Mail reaches the person it is for, however the address is written."""

import pytest

from tests.integration.conftest import People
from tests.stack import messages
from tests.stack.stack import DOMAIN, Stack


@pytest.mark.parametrize("written", ["{name}@", "{NAME}@", "{name}+lists@"])
def test_one_person_has_one_mailbox(
    stack: Stack, people: People, subject: str, written: str
) -> None:
    name = people.student.name
    address = written.format(name=name, NAME=name.upper()) + DOMAIN
    assert stack.clients.deliver(messages.plain(subject), to=[address]).accepted
    with stack.clients.imap(people.student.login) as mailbox:
        mailbox.wait_for(subject)


def test_an_alias_leads_to_the_mailbox(stack: Stack, subject: str) -> None:
    person = stack.add_account("staff", None, "--alias", "dean.of.science")
    to = [f"dean.of.science@{DOMAIN}"]
    assert stack.clients.deliver(messages.plain(subject), to=to).accepted
    with stack.clients.imap(person.login) as mailbox:
        mailbox.wait_for(subject)


def test_mail_to_nobody_comes_back_to_its_sender(
    stack: Stack, people: People, subject: str
) -> None:
    stack.clients.submit(
        people.student.login,
        messages.plain(subject),
        to=[f"nobody@{DOMAIN}"],
        computer=stack.computer(),
    )
    with stack.clients.imap(people.student.login) as mailbox:
        notice = mailbox.wait_for("Undelivered Mail")
    assert "nobody@" in notice.as_string()


def test_the_world_cannot_send_through_us(stack: Stack) -> None:
    answer = stack.clients.deliver(messages.plain("relay"), to=["reader@elsewhere.example"])
    assert answer.stage == "RCPT"
    assert not answer.accepted
