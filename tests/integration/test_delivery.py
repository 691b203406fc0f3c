"""Mail reaches the person it is for, however the address is written, and as it was sent."""

import re
from pathlib import Path

import pytest

from tests.integration.conftest import People
from tests.stack import messages
from tests.stack.clients import wait_until
from tests.stack.stack import DOMAIN, Account, Stack

CORPUS = Path(__file__).parent.parent / "corpus"
# All of what SMTP carries as it is. Postfix itself mends bare CR and LF, lines of 998 bytes
# and headers that are none.
EXACT = [
    "boundary-8bit",
    "boundary-of-dashes",
    "content-type-folded",
    "content-type-twice",
    "digest",
    "filename-8bit",
    "filename-encoded-word",
    "forwarded-message",
    "nested-multiparts",
    "plain",
    "quoted-printable-in-a-part",
    "signed",
    "truncated-in-base64",
    "uuencode",
]
# With these Postfix adds no field that is missing.
HEAD = (
    b"From: Sender <sender@elsewhere.example>\r\nTo: undisclosed-recipients:;\r\n"
    b"Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@elsewhere.example>\r\n"
)
_ADDED = re.compile(
    rb"^(?:Return-Path|Delivered-To|Received|X-Spam-\w+):.*\r\n(?:[ \t].*\r\n)*",
    re.MULTILINE | re.IGNORECASE,
)


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


def stored(stack: Stack, person: Account, message: bytes) -> bytes:
    """Deliver *message*; return what is in the mailbox, less the fields added on the way."""

    def files() -> set[Path]:
        return set((stack.layout.mail / person.name).rglob("new/*"))

    before = files()
    assert stack.clients.deliver(message, to=[person.address]).accepted
    wait_until(lambda: files() != before, "the mail")
    [path] = files() - before
    raw = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    head, blank, body = raw.partition(b"\r\n\r\n")
    return _ADDED.sub(b"", head + b"\r\n") + blank[2:] + body


def test_mail_is_stored_byte_by_byte_as_it_was_sent(stack: Stack) -> None:
    person = stack.add_account("staff")
    for name in EXACT:
        message = HEAD + b"Subject: caf\xe9  =?utf-8?Q?w=C3=B6?=\r\n"
        message += (CORPUS / f"{name}.eml").read_bytes()
        # spamd may find such a mail odd: the subject has a test of its own.
        found, sent = (
            re.sub(rb"(?m)^Subject: .*\r\n(?: .*\r\n)*", b"", each)
            for each in (stored(stack, person, message), message)
        )
        assert found == sent, name


def test_spam_changes_in_its_subject_and_verdict_only(stack: Stack) -> None:
    person = stack.add_account("staff")
    subject = "Subject:  grüße  =?utf-8?Q?w=C3=B6?=\r\n\tfolded\r\n".encode()
    rest = b"X-Odd:\ttabs \xff and  blanks \r\n\r\n" + messages.GTUBE.encode() + b"\r\n\xfe\r\n"
    tagged = subject.replace(b"Subject:  ", b"Subject: ***SPAM***  ")
    found = stored(stack, person, HEAD + subject + rest)
    assert found == HEAD + tagged + rest


@pytest.mark.parametrize("message", [b"", b"\r\n", b"hello\r\n"])
def test_a_mail_without_a_header_is_delivered(stack: Stack, message: bytes) -> None:
    person, computer = stack.add_account("staff"), stack.computer()  # Postfix adds none for others
    stack.settle()
    answer = stack.clients.deliver(message, to=[person.address], computer=computer)
    assert answer.accepted
