"""Mail judged spam is marked at the start of its subject, and delivered (R10)."""

from tests.integration.conftest import People
from tests.stack import messages
from tests.stack.stack import Stack


def test_spam_arrives_marked(stack: Stack, people: People, subject: str) -> None:
    answer = stack.clients.deliver(messages.spam(subject), to=[people.student.address])
    assert answer.accepted
    with stack.clients.imap(people.student.login) as mailbox:
        assert mailbox.wait_for(subject)["Subject"] == f"***SPAM*** {subject}"


def test_ham_arrives_unmarked(stack: Stack, people: People, subject: str) -> None:
    answer = stack.clients.deliver(messages.plain(subject), to=[people.student.address])
    assert answer.accepted
    with stack.clients.imap(people.student.login) as mailbox:
        assert mailbox.wait_for(subject)["Subject"] == subject


def test_spam_is_marked_only_once(stack: Stack, people: People, subject: str) -> None:
    message = messages.spam(f"***SPAM*** {subject}")
    assert stack.clients.deliver(message, to=[people.student.address]).accepted
    with stack.clients.imap(people.student.login) as mailbox:
        assert mailbox.wait_for(subject)["Subject"] == f"***SPAM*** {subject}"


def test_a_strangers_claim_that_it_is_no_spam_is_taken_out(
    stack: Stack, people: People, subject: str
) -> None:
    message = b"X-Spam-Status: No, score=-100\r\n" + messages.spam(subject)
    assert stack.clients.deliver(message, to=[people.student.address]).accepted
    with stack.clients.imap(people.student.login) as mailbox:
        claims = mailbox.wait_for(subject).get_all("X-Spam-Status", [])
    assert len(claims) == 1
    assert claims[0].startswith("Yes")
