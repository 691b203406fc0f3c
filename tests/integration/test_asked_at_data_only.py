"""What holds where Postfix asks policyd at DATA and not at RCPT: the table of docs/operations.md.

A site that limits signed-in mail by main.cf alone has this on submission. Every
rule still speaks before the first byte of the message, except the one about the
size of a message to several: Postfix names them at RCPT only.
"""

import subprocess
from collections.abc import Iterator, Sequence

import pytest

from tests.stack import messages
from tests.stack.clients import Answer
from tests.stack.messages import MIB
from tests.stack.ports import HOST
from tests.stack.postfix import OUTSIDE
from tests.stack.stack import Account, Stack

ALUMNI = {"attachments": "1M", "send": ["4/1h"]}
TOO_BIG = 2 * MIB  # an attachment of this size, coded in base64, fits no alumnus


@pytest.fixture(scope="module")
def server() -> Iterator[Stack]:
    """Return a server whose submission asks policyd at DATA only."""
    made = Stack(settings={"roles": {"alumni": ALUMNI}})
    conf = made.layout.root / "postfix/conf"
    service = f"{HOST}:{made.layout.ports.submission}/inet"
    words = (
        f"{service}/smtpd_recipient_restrictions=",
        f"{service}/smtpd_data_restrictions=$gatepost_policy",
    )
    subprocess.run(["postconf", "-c", str(conf), "-P", *words], check=True)
    with made:
        yield made


def send(
    server: Stack, person: Account, to: Sequence[str], message: bytes = b"", *, declare: bool = True
) -> Answer:
    message = message or messages.plain("news")
    computer = server.computer()
    return server.clients.submit(
        person.login, message, to=to, computer=computer, declare_size=declare
    )


def outside(count: int) -> list[str]:
    return [f"reader{number}@{OUTSIDE}" for number in range(count)]


def test_a_suspended_account_hears_the_reason_at_data(server: Stack) -> None:
    person = server.add_account("staff")
    words = ("account", "suspend", person.name, "--scope", "sending", "--reason", "phished")
    with server.clients.open_submission(server.computer()) as session:
        session.login(person.login.name, person.login.password)
        server.gatepost(*words).check_returncode()
        server.settle()
        session.mail(person.address)
        assert [session.rcpt(each)[0] for each in outside(2)] == [250, 250]
        code, text = session.docmd("DATA")
    assert code == 550
    assert b"phished" in text


def test_a_declared_size_that_cannot_fit_the_one_recipient_is_refused_at_data(
    server: Stack,
) -> None:
    staff, alumnus = server.add_account("staff"), server.add_account("alumni")
    server.settle()
    big = messages.attached("lecture", TOO_BIG)
    answer = send(server, staff, [alumnus.address], big)
    assert (answer.stage, answer.code) == ("DATA", 552)
    assert f"Attachments for {alumnus.name} may have 1 MiB at most" in answer.text
    # Without SIZE only the milter can know, when all of it has come.
    answer = send(server, staff, [alumnus.address], big, declare=False)
    assert (answer.stage, answer.code) == ("END", 552)


def test_a_size_that_fits_only_some_is_seen_by_the_milter_when_all_has_come(
    server: Stack,
) -> None:
    staff, colleague, alumnus = (server.add_account(role) for role in ("staff", "staff", "alumni"))
    server.settle()
    big = messages.attached("both of you", TOO_BIG)
    answer = send(server, staff, [alumnus.address, colleague.address], big)
    assert answer.accepted
    assert answer.refused == ()  # where we are asked at RCPT: the alumnus, before a byte is sent
    with server.clients.imap(colleague.login) as mailbox:
        mailbox.wait_for("both of you")
    with server.clients.imap(staff.login) as mailbox:
        assert alumnus.address in str(mailbox.wait_for("too big for some recipients"))
    with server.clients.imap(alumnus.login) as mailbox:
        assert mailbox.subjects() == []


def test_too_many_recipients_are_refused_at_data(server: Stack) -> None:
    person = server.add_account("staff")
    answer = send(server, person, outside(101))
    assert (answer.stage, answer.code) == ("DATA", 550)
    assert "at most 100" in answer.text


def test_a_limit_is_charged_and_refused_at_data(server: Stack) -> None:
    person = server.add_account("alumni")
    server.settle()
    assert send(server, person, outside(4)).accepted
    answer = send(server, person, outside(1))
    assert (answer.stage, answer.code) == ("DATA", 450)
    assert "4 used" in answer.text
