"""Bytes beyond ASCII through a real Postfix that does not know SMTPUTF8, and what spamd gets."""

import re
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import messages
from tests.stack.clients import _sign_in, wait_until
from tests.stack.stack import Account, Stack

pytestmark = pytest.mark.integration
CASES = Path(__file__).parents[1] / "cases/milter"
RAW = [bytes([value]).decode("latin-1") for value in range(0x80, 0x100)]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    # As docker-mailserver and mailcow set it.
    plenty = {"limits": {"client": ["5000/1h"]}}
    with Stack(settings=plenty, postfix={"smtputf8_enable": "no"}) as running:
        yield running


@pytest.fixture(scope="module")
def staff(stack: Stack) -> Account:
    return stack.add_account("staff")


@pytest.fixture
def session(stack: Stack, staff: Account) -> Iterator[smtplib.SMTP]:
    """A session of somebody who signed in, whose commands may have any byte."""
    with stack.clients.open_submission() as opened:
        assert _sign_in(opened, staff.login).code == 235
        opened.command_encoding = "latin-1"
        yield opened


def sent(session: smtplib.SMTP, sender: str, *recipients: str, subject: str) -> int:
    """Send a mail as far as it goes; return the last code."""
    steps = [(session.mail, sender), *((session.rcpt, each) for each in recipients)]
    for step, address in steps:
        code, _ = step(address)
        assert code == 250, address
    return session.data(messages.plain(subject))[0]


@pytest.mark.parametrize("half", [RAW[:64], RAW[64:]])
def test_recipients_with_raw_bytes_do_not_stop_the_others(
    stack: Stack, staff: Account, session: smtplib.SMTP, half: list[str]
) -> None:
    strange = [f"jos{byte}@elsewhere.example" for byte in half]
    subject = f"raw-{ord(half[0])}."
    assert sent(session, staff.address, staff.address, *strange, subject=subject) == 250
    with stack.clients.imap(staff.login) as mailbox:
        mailbox.wait_for(subject)


def test_a_sender_with_raw_bytes_stops_no_mail(session: smtplib.SMTP, staff: Account) -> None:
    for number, byte in enumerate(RAW):
        sender = f"ann{byte}@elsewhere.example"
        assert sent(session, sender, staff.address, subject=f"sender-{number}.") == 250


@pytest.mark.parametrize("name", ["m\xfcller-pc", "\x80\xff", "a\xa0b"])
def test_a_helo_with_raw_bytes_stops_no_mail(stack: Stack, staff: Account, name: str) -> None:
    with stack.clients.open_smtp() as opened:
        opened.command_encoding = "latin-1"
        assert opened.docmd("HELO", name)[0] == 250
        for number in range(2):
            subject = f"helo-{ord(name[0])}-{number}."
            assert sent(opened, "a@elsewhere.example", staff.address, subject=subject) == 250


def test_the_log_says_how_large_a_mail_is_of_which_little_was_read(stack: Stack) -> None:
    message = messages.plain("eleven-mb.", body=("x" * 70 + "\n") * 160_000)
    # Nobody here has a limit for it, and spamd gets its start only.
    answer = stack.clients.deliver(message, to=["postmaster@mail.example.edu"])
    assert answer.accepted
    queue_id = answer.text.rpartition(" ")[2]
    log = stack.services.processes["milter"].log.read_text()
    [line] = [line for line in log.splitlines() if f" {queue_id} " in line]
    assert f"size={len(message)} " in line


def test_the_dialogue_once_deferred_for_ever_is_accepted(
    stack: Stack, session: smtplib.SMTP
) -> None:
    stack.add_account("student", "s1120047")
    envelope, _, message = (CASES / "smtp-8bit-rcpt.txt").read_bytes().partition(b"DATA\r\n")
    for line in envelope.decode("latin-1").splitlines():
        assert session.docmd(line)[0] == 250
    code, text = session.data(message.removesuffix(b".\r\n"))
    assert code == 250, text


def test_both_of_two_subjects_are_tagged_in_the_mailbox(stack: Stack, staff: Account) -> None:
    message = (CASES / "two-subjects.eml").read_bytes()
    assert stack.clients.deliver(message, to=[staff.address]).accepted
    folder = stack.layout.mail / staff.name

    def subjects() -> list[list[bytes]]:
        mails = [each.read_bytes() for each in folder.rglob("new/*")]
        found = [re.findall(rb"^Subject: (.*?)\r?$", mail, re.MULTILINE) for mail in mails]
        return [each for each in found if any(b"second one" in subject for subject in each)]

    wait_until(lambda: bool(subjects()), "the mail in the mailbox")
    assert subjects() == [[b"***SPAM*** first one", b"***SPAM*** second one"]]
