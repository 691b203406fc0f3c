"""The recipient's role limits the decoded size of the attachments (R9)."""

from email.message import EmailMessage

import pytest

from tests.integration.conftest import People
from tests.stack import messages
from tests.stack.messages import MIB
from tests.stack.stack import Stack

LIMIT = 10 * MIB  # alumni, as shipped
ADVICE = "Send a cloud link instead."


def attachment_size(message: EmailMessage) -> int:
    """Return the decoded size of the only attachment."""
    (part,) = message.iter_attachments()
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return len(content)


def test_a_student_receives_what_is_too_big_for_alumni(
    stack: Stack, people: People, subject: str
) -> None:
    message = messages.attached(subject, 12 * MIB)
    assert stack.clients.deliver(message, to=[people.student.address]).accepted
    with stack.clients.imap(people.student.login) as mailbox:
        assert attachment_size(mailbox.wait_for(subject)) == 12 * MIB


@pytest.mark.parametrize(
    "declare_size", [True, False], ids=["with its size declared", "without a declared size"]
)
def test_alumni_are_spared_it_and_the_sender_is_told_limit_and_advice(
    stack: Stack, people: People, subject: str, *, declare_size: bool
) -> None:
    answer = stack.clients.deliver(
        messages.attached(subject, 12 * MIB), to=[people.alumni.address], declare_size=declare_size
    )
    assert answer.code == 552
    assert answer.text.startswith("5.3.4 ")
    assert "10 MiB" in answer.text
    assert answer.text.endswith(ADVICE)
    with stack.clients.imap(people.alumni.login) as mailbox:
        assert not [s for s in mailbox.subjects() if subject in s]


def test_a_declared_size_is_refused_before_a_byte_is_sent(
    stack: Stack, people: People, subject: str
) -> None:
    message = messages.attached(subject, 12 * MIB)
    assert stack.clients.deliver(message, to=[people.alumni.address]).stage == "RCPT"


def test_the_limit_itself_is_allowed_and_one_byte_more_is_not(
    stack: Stack, people: People, subject: str
) -> None:
    exact = messages.attached(subject, LIMIT)
    assert stack.clients.deliver(exact, to=[people.alumni.address]).accepted
    more = messages.attached(subject, LIMIT + 1)
    answer = stack.clients.deliver(more, to=[people.alumni.address])
    assert (answer.stage, answer.code) == ("END", 552)


@pytest.mark.parametrize("form", ['<"{name}"@{domain}>', "<@relay:{name}@{domain}>"])
def test_a_recipient_written_oddly_has_the_same_limit(
    stack: Stack, people: People, subject: str, form: str
) -> None:
    name, _, domain = people.alumni.address.partition("@")
    with stack.clients.open_smtp() as session:
        session.mail("somebody@elsewhere.example")
        assert session.docmd("RCPT", f"TO:{form.format(name=name, domain=domain)}")[0] == 250
        code, text = session.data(messages.attached(subject, LIMIT + 1))
    assert code == 552
    assert people.alumni.address in text.decode()


def test_one_of_ours_may_receive_more_until_a_date(stack: Stack, subject: str) -> None:
    person = stack.add_account("alumni")
    words = ("account", "set", person.name, "--attachments", "20M", "--until", "7d")
    stack.gatepost(*words, "--reason", "ticket 4711").check_returncode()
    message = messages.attached(subject, 12 * MIB)
    stack.until_accepted(lambda: stack.clients.deliver(message, to=[person.address]))
    with stack.clients.imap(person.login) as mailbox:
        assert attachment_size(mailbox.wait_for(subject)) == 12 * MIB


def test_a_colleague_reaches_the_others_and_learns_who_was_left_out(
    stack: Stack, people: People, subject: str
) -> None:
    # Small enough to pass at RCPT for both, too big for alumni once measured.
    message = messages.attached(subject, LIMIT + 1)
    answer = stack.clients.submit(
        people.staff.login,
        message,
        to=[people.student.address, people.alumni.address],
        computer=stack.computer(),
    )
    assert answer.accepted
    with stack.clients.imap(people.student.login) as mailbox:
        assert attachment_size(mailbox.wait_for(subject)) == LIMIT + 1
    with stack.clients.imap(people.staff.login) as mailbox:
        notice = mailbox.wait_for_text(people.alumni.address)
    assert "Reporting-MTA: dns; mx.example.edu" in notice.as_string()
    assert notice["X-Spam-Status"] is None  # known as ours, it is not judged
    with stack.clients.imap(people.alumni.login) as mailbox:
        assert not [s for s in mailbox.subjects() if subject in s]


@pytest.mark.parametrize("form", ['<"{name}"@{domain}>', "<@relay:{name}@{domain}>"])
def test_a_dropped_recipient_is_dropped_in_any_spelling(
    stack: Stack, people: People, subject: str, form: str
) -> None:
    name, _, domain = people.alumni.address.partition("@")
    staff = people.staff.login
    with stack.clients.open_submission(stack.computer()) as session:
        session.login(staff.name, staff.password)
        session.mail(f"{staff.name}@{domain}")
        session.rcpt(people.student.address)
        assert session.docmd("RCPT", f"TO:{form.format(name=name, domain=domain)}")[0] == 250
        assert session.data(messages.attached(subject, LIMIT + 1))[0] == 250
    with stack.clients.imap(people.student.login) as mailbox:
        mailbox.wait_for(subject)
    with stack.clients.imap(people.alumni.login) as mailbox:
        assert not [s for s in mailbox.subjects() if subject in s]


def test_a_stranger_is_told_whose_mailbox_it_was_and_nobody_gets_a_part(
    stack: Stack, people: People, subject: str
) -> None:
    message = messages.attached(subject, LIMIT + 1)
    to = [people.student.address, people.alumni.address]
    answer = stack.clients.deliver(message, to=to)
    assert (answer.stage, answer.code) == ("END", 552)
    assert people.alumni.address in answer.text
    with stack.clients.imap(people.student.login) as mailbox:
        assert not [s for s in mailbox.subjects() if subject in s]
