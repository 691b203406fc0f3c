"""Notices reach the mailbox through Postfix, from nobody, also when a kill falls between."""

import signal
import sqlite3
from contextlib import closing

import pytest

from tests.stack.clients import Mailbox
from tests.stack.stack import Account, Stack

WORDS = "Your mail account"


def graduate(stack: Stack) -> Account:
    """Return a person whose notice waits."""
    person = stack.add_account("student")
    stack.gatepost("account", "graduate", person.name).check_returncode()
    return person


def due(stack: Stack) -> None:
    """Let the time pass after which a claim has ended and a mail is tried again."""
    file = stack.layout.settings.parent / "gatepost.db"
    with closing(sqlite3.connect(file)) as store, store:
        store.execute("UPDATE notice SET next_at = 0, claimed_until = 0 WHERE sent_at IS NULL")


def ids(mailbox: Mailbox) -> list[str]:
    mailbox.wait_for(WORDS)
    return [str(mail["Message-ID"]) for mail in mailbox.messages() if WORDS in str(mail["Subject"])]


def test_a_notice_comes_from_the_null_sender_and_says_that_it_is_automatic(stack: Stack) -> None:
    person = graduate(stack)
    stack.gatepost("maintain").check_returncode()
    with stack.clients.imap(person.login) as mailbox:
        mail = mailbox.wait_for(WORDS)
    assert mail["Return-Path"] == "<>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["From"] == "postmaster@mail.example.edu"


@pytest.mark.parametrize(("when", "copies"), [("before", 1), ("after", 2)])
def test_a_command_killed_while_it_hands_a_notice_over_loses_none_and_repeats_one_at_most(
    stack: Stack, when: str, copies: int
) -> None:
    person = graduate(stack)
    program = stack.layout.root / "sendmail"
    honest = program.read_text()
    handed_over = honest.replace("exec ", "") if when == "after" else "#!/bin/sh\n"
    program.write_text(f"{handed_over}kill -KILL $PPID\n")
    try:
        assert stack.gatepost("maintain").returncode == -signal.SIGKILL
    finally:
        program.write_text(honest)
    due(stack)
    for _ in range(2):
        stack.gatepost("maintain").check_returncode()
        due(stack)
    last = graduate(stack)  # behind it nothing of the first is under way any more
    stack.gatepost("maintain").check_returncode()
    with stack.clients.imap(last.login) as mailbox:
        mailbox.wait_for(WORDS)
    with stack.clients.imap(person.login) as mailbox:
        found = ids(mailbox)
    assert len(found) == copies
    assert len(set(found)) == 1  # so that a second copy is known as one
