"""What breaks: the failure table of the design, seen by the clients.

Nothing is ever lost, passed unseen or refused for good because of a fault of ours.
"""

import signal
import smtplib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.integration.conftest import People
from tests.integration.test_limits import burst
from tests.stack import messages
from tests.stack.clients import Login, LoginRefused
from tests.stack.dovecot_release import release
from tests.stack.process import Process
from tests.stack.stack import Stack

pytestmark = pytest.mark.usefixtures("trouble")


@contextmanager
def gone(process: Process) -> Iterator[None]:
    """Kill a server without a word, and start it again at the end."""
    process.kill()
    try:
        yield
    finally:
        process.start()


def checks_without_authd() -> bool:
    """Return whether logins go on: checkpassword can, where Dovecot's user may run our Python."""
    if release() != "2.3":
        return False  # Lua asks authd or nobody
    probe = ["runuser", "-u", "dovecot", "--", sys.executable, "-I", "-c", "import dovecot_auth"]
    return subprocess.run(probe, check=False, capture_output=True, cwd="/").returncode == 0


def test_without_policyd_mail_waits_at_its_sender(
    stack: Stack, people: People, subject: str
) -> None:
    message, to = messages.plain(subject), [people.student.address]
    with gone(stack.services.processes["policyd"]):
        answer = stack.clients.deliver(message, to=to)
    assert (answer.code, answer.stage) == (451, "RCPT")
    assert "Policy service is down. Try again later." in answer.text
    assert stack.clients.deliver(message, to=to).accepted


def test_without_the_milter_nothing_passes_unseen(
    stack: Stack, people: People, subject: str
) -> None:
    message, to = messages.spam(subject), [people.student.address]
    with gone(stack.services.processes["milter"]):
        answer = stack.clients.deliver(message, to=to)
    assert 400 <= answer.code < 500
    assert stack.clients.deliver(message, to=to).accepted
    with stack.clients.imap(people.student.login) as mailbox:
        assert mailbox.wait_for(subject)["Subject"] == f"***SPAM*** {subject}"


def test_without_spamd_mail_arrives_unmarked_and_says_so(
    stack: Stack, people: People, subject: str
) -> None:
    with gone(stack.spamd):
        answer = stack.clients.deliver(messages.spam(subject), to=[people.student.address])
    assert answer.accepted
    with stack.clients.imap(people.student.login) as mailbox:
        found = mailbox.wait_for(subject)
    assert found["Subject"] == subject
    assert any(name.lower().startswith("x-spam-") for name in found)


def test_without_authd_people_still_sign_in(stack: Stack, people: People) -> None:
    with gone(stack.services.processes["authd"]):
        if checks_without_authd():
            with stack.clients.imap(people.student.login) as mailbox:
                assert mailbox.quota()[1] == 500 * 1024
        else:
            # Never "wrong password".
            with pytest.raises(LoginRefused, match="UNAVAILABLE"):
                stack.clients.imap(people.student.login)


def test_without_authd_a_wrong_password_is_still_wrong(stack: Stack, people: People) -> None:
    wrong = Login(people.student.name, "wrong horse")
    expected = "AUTHENTICATIONFAILED" if checks_without_authd() else "UNAVAILABLE"
    with (
        gone(stack.services.processes["authd"]),
        pytest.raises(LoginRefused, match=expected),
    ):
        stack.clients.imap(wrong)


@contextmanager
def hanging(process: Process) -> Iterator[None]:
    """Stop a server in the middle of what it does, and let it go on at the end."""
    process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("policyd", 21),  # timeout=10s, twice, a second apart
        ("milter", 30),  # milter_command_timeout, Postfix's default
    ],
)
def test_a_hanging_service_holds_a_client_for_seconds_not_minutes(
    stack: Stack, people: People, name: str, seconds: int
) -> None:
    began = time.monotonic()
    with hanging(stack.services.processes[name]):
        answer = stack.clients.deliver(messages.plain("hello"), to=[people.student.address])
    assert answer.code == 451
    assert time.monotonic() - began < seconds + 3


@contextmanager
def locked_store(stack: Stack) -> Iterator[None]:
    """Hold the lock that every writer needs."""
    path = stack.layout.settings.with_name("gatepost.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


def test_while_the_store_is_locked_mail_waits_and_people_sign_in(
    stack: Stack, people: People
) -> None:
    computer = stack.computer()
    with locked_store(stack):
        answer = burst(stack, people.staff, 1, computer=computer)
        assert stack.clients.pop3(people.student.login).startswith("+OK")
    # Kept by its sender or taken: never refused for good.
    assert answer.code < 500
    assert burst(stack, people.staff, 1, computer=computer).accepted


def test_a_locked_store_stops_no_mail_and_frees_no_sender(stack: Stack) -> None:
    person, computer = stack.add_account("staff"), stack.computer()
    stack.settle()
    with locked_store(stack):
        assert burst(stack, person, 100, computer=computer).accepted
        assert burst(stack, person, 100, computer=computer).accepted
        assert burst(stack, person, 1, computer=computer).code == 450
    # What was counted without the store still counts.
    assert burst(stack, person, 1, computer=computer).code == 450


def test_a_reload_changes_a_limit_and_a_broken_file_changes_nothing(stack: Stack) -> None:
    person, computer = stack.add_account("staff"), stack.computer()
    try:
        stack.reconfigure({"limits": {"client": ["3/1h"]}})
        stack.settle()
        assert burst(stack, person, 3, computer=computer).accepted
        assert burst(stack, person, 1, computer=computer).code == 450
        stack.reconfigure({"limits": {"client": ["many"]}})
        stack.settle()
        assert burst(stack, person, 1, computer=computer).code == 450
    finally:
        stack.reconfigure({"limits": {"client": ["200/1h"]}})
        stack.settle()
    assert burst(stack, person, 1, computer=computer).accepted


@pytest.mark.parametrize("name", ["policyd", "milter", "authd"])
def test_a_service_told_to_stop_ends_cleanly(stack: Stack, name: str) -> None:
    process = stack.services.processes[name]
    try:
        assert process.stop() == 0
    finally:
        process.start()


def test_a_mail_in_flight_survives_the_end_of_the_milter(
    stack: Stack, people: People, subject: str
) -> None:
    milter = stack.services.processes["milter"]
    with stack.clients.open_smtp() as session:
        session.mail("somebody@elsewhere.example")
        session.rcpt(people.student.address)
        milter.signal(signal.SIGTERM)
        try:
            code, _text = session.data(messages.plain(subject))
        except smtplib.SMTPDataError as error:  # the answer to DATA itself
            code = error.smtp_code
    try:
        # Delivered, or kept by its sender: never refused for good.
        assert code == 250 or 400 <= code < 500
    finally:
        milter.stop()
        milter.start()
