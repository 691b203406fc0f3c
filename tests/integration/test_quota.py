"""A full mailbox takes no new mail, says so, and loses nothing (R8)."""

from tests.stack import messages
from tests.stack.messages import MIB
from tests.stack.stack import Account, Stack

# 12.3 MB each in the mailbox: four fit in the 50 MB of alumni, a fifth does not.
BIG = 9 * MIB
FITTING = 4


def fill(stack: Stack, person: Account, subject: str) -> None:
    """Deliver as much as fits, and see it arrive."""
    for number in range(FITTING):
        message = messages.attached(f"{subject}{number}", BIG)
        assert stack.clients.deliver(message, to=[person.address]).accepted
        with stack.clients.imap(person.login) as mailbox:
            mailbox.wait_for(f"{subject}{number}")


def test_a_full_mailbox_refuses_and_accepts_again_after_a_delete(
    stack: Stack, subject: str
) -> None:
    person = stack.add_account("alumni")
    fill(stack, person, subject)
    another = messages.attached(f"{subject}another", BIG)

    refusal = stack.clients.deliver(another, to=[person.address])

    assert (refusal.stage, refusal.code) == ("RCPT", 552)
    assert refusal.text.startswith("5.2.2 ")
    assert "full" in refusal.text
    with stack.clients.imap(person.login) as mailbox:
        assert len(mailbox.subjects()) == FITTING  # nothing was lost
        mailbox.delete_all()
    assert stack.clients.deliver(another, to=[person.address]).accepted
    with stack.clients.imap(person.login) as mailbox:
        mailbox.wait_for(f"{subject}another")


def test_a_nearly_full_mailbox_accepts_a_message_that_fits(stack: Stack, subject: str) -> None:
    person = stack.add_account("alumni")
    fill(stack, person, subject)
    assert stack.clients.deliver(messages.plain(f"{subject}small"), to=[person.address]).accepted
    with stack.clients.imap(person.login) as mailbox:
        mailbox.wait_for(f"{subject}small")


def test_an_undeclared_size_never_overfills_a_mailbox(stack: Stack, subject: str) -> None:
    person = stack.add_account("alumni")
    fill(stack, person, subject)
    message = messages.attached(f"{subject}another", BIG)
    # Postfix takes it, as nobody could know; Dovecot refuses, and the sender is told by mail.
    sender = stack.add_account("student")
    stack.clients.deliver(message, to=[person.address], sender=sender.address, declare_size=False)
    with stack.clients.imap(sender.login) as mailbox:
        notice = mailbox.wait_for("Undelivered Mail")
    assert "full" in notice.as_string()
    with stack.clients.imap(person.login) as mailbox:
        assert len(mailbox.subjects()) == FITTING


def test_a_new_quota_holds_at_once(stack: Stack) -> None:
    person = stack.add_account("student")
    stack.gatepost("account", "set", person.name, "--mailbox", "700M").check_returncode()
    with stack.clients.imap(person.login) as mailbox:
        assert mailbox.quota()[1] == 700 * 1024


def test_mail_larger_than_a_whole_mailbox_is_refused_at_rcpt(stack: Stack, subject: str) -> None:
    person = stack.add_account("student")
    stack.gatepost("account", "set", person.name, "--mailbox", "100K").check_returncode()
    with stack.clients.imap(person.login) as mailbox:
        assert mailbox.quota()[1] == 100
    refusal = stack.clients.deliver(messages.attached(f"{subject}big", MIB), to=[person.address])
    assert (refusal.stage, refusal.code) == ("RCPT", 552)
    assert refusal.text.startswith("5.2.2 ")
    assert "full" in refusal.text
