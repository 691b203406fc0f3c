"""Mail that was never accepted is not counted, and what was accepted is."""

import json
import signal
import smtplib
from collections.abc import Iterator

import pytest

from tests.stack import messages
from tests.stack.clients import Answer, wait_until
from tests.stack.messages import MIB
from tests.stack.ports import HOST
from tests.stack.postfix import OUTSIDE
from tests.stack.stack import Account, Stack

BIG = 11 * MIB  # an attachment that fits no alumnus


@pytest.fixture
def person(stack: Stack) -> Account:
    made = stack.add_account("staff")
    stack.settle()
    return made


@pytest.fixture(scope="module")
def other() -> Iterator[Stack]:
    """Return a server that charges at END-OF-MESSAGE and believes what a webmail says (XCLIENT)."""
    main_cf = {"smtpd_authorized_xclient_hosts": "127.0.0.0/8", "inet_protocols": "all"}
    with Stack(settings={"limits": {"charge_at": "END-OF-MESSAGE"}}, postfix=main_cf) as running:
        yield running


def used(stack: Stack, subject: str) -> int:
    shown = json.loads(stack.gatepost("limit", "show", subject, "--json").stdout)
    return max((int(row["used"]) for row in shown), default=0)


def counted(stack: Stack, person: Account, computer: str, count: int) -> None:
    """Wait until account and client both have *count*."""
    wait_until(
        lambda: [used(stack, person.name), used(stack, computer)] == [count, count],
        f"{count} recipients counted",
    )


def opened(stack: Stack, person: Account, computer: str) -> smtplib.SMTP:
    """Return a session in which *person* is signed in."""
    session = stack.clients.open_submission(computer)
    session.login(person.login.name, person.login.password)
    return session


def addressed(session: smtplib.SMTP, person: Account, recipients: int) -> None:
    """Begin a message to as many recipients."""
    session.mail(person.address)
    for number in range(recipients):
        assert session.rcpt(f"reader{number}@{OUTSIDE}")[0] == 250


def begun(stack: Stack, person: Account, computer: str, recipients: int) -> smtplib.SMTP:
    """Send a message up to the middle of its text."""
    session = opened(stack, person, computer)
    addressed(session, person, recipients)
    assert session.docmd("DATA")[0] == 354
    session.send(b"Subject: half\r\n\r\nThis is not all.\r\n")
    return session


def send(stack: Stack, person: Account, computer: str, recipients: int) -> None:
    to = [f"reader{number}@{OUTSIDE}" for number in range(recipients)]
    message = messages.plain("news")
    assert stack.clients.submit(person.login, message, to=to, computer=computer).accepted


def submit(stack: Stack, person: Account, computer: str, to: list[str], message: bytes) -> Answer:
    """Send a message whose size only the milter will know."""
    return stack.clients.submit(person.login, message, to=to, computer=computer, declare_size=False)


def refused(stack: Stack, person: Account, computer: str, to: str, message: bytes) -> None:
    """Send what the milter refuses."""
    answer = submit(stack, person, computer, [to], message)
    assert (answer.stage, answer.code) == ("END", 552)


def test_a_connection_dropped_in_data_costs_nothing(stack: Stack, person: Account) -> None:
    computer = stack.computer()
    send(stack, person, computer, 3)
    for _ in range(3):
        session = begun(stack, person, computer, 50)
        counted(stack, person, computer, 53)
        session.close()
        counted(stack, person, computer, 3)


def test_a_client_gone_right_after_data_is_charged_nothing(stack: Stack, person: Account) -> None:
    computer = stack.computer()
    send(stack, person, computer, 3)
    lost = f"lost connection after DATA (0 bytes) from unknown[{computer}]"
    for _ in range(10):
        session = opened(stack, person, computer)
        addressed(session, person, 4)
        session.send("DATA\r\n")
        session.close()
    # Postfix says so when all are charged.
    wait_until(lambda: stack.postfix.log.read_text().count(lost) == 10, "ten drops")
    counted(stack, person, computer, 3)


@pytest.mark.usefixtures("trouble")
def test_a_client_gone_before_a_slow_milter_reads_is_charged_nothing(
    stack: Stack, person: Account
) -> None:
    computer = stack.computer()
    milter = stack.services.processes["milter"]
    session = opened(stack, person, computer)
    addressed(session, person, 4)
    milter.signal(signal.SIGSTOP)
    try:
        session.send("DATA\r\n")
        session.close()
        counted(stack, person, computer, 4)
    finally:
        milter.signal(signal.SIGCONT)
    counted(stack, person, computer, 0)


def test_a_connection_dropped_in_the_middle_of_a_large_text_costs_nothing(
    stack: Stack, person: Account
) -> None:
    computer = stack.computer()
    session = begun(stack, person, computer, 5)
    session.send(b"x" * 76 + b"\r\n" + messages.attached("film", 5 * MIB))
    counted(stack, person, computer, 5)
    session.close()
    counted(stack, person, computer, 0)


def test_a_message_ended_before_data_is_free_and_the_next_counts_once(
    stack: Stack, person: Account
) -> None:
    computer = stack.computer()
    with opened(stack, person, computer) as session:
        for end in ("RSET", f"EHLO {HOST}"):
            addressed(session, person, 3)
            assert session.docmd(end)[0] == 250
        addressed(session, person, 2)
        assert session.data(messages.plain("news"))[0] == 250
        addressed(session, person, 3)
        session.quit()
    counted(stack, person, computer, 2)


def test_a_message_refused_by_the_milter_is_charged_nothing(stack: Stack, person: Account) -> None:
    alumnus, computer = stack.add_account("alumni"), stack.computer()
    stack.settle()
    send(stack, person, computer, 2)
    big = messages.attached("lecture", BIG)
    refused(stack, person, computer, alumnus.address, big)
    counted(stack, person, computer, 2)


def test_after_a_refusal_the_next_message_of_the_session_counts(
    stack: Stack, person: Account
) -> None:
    alumnus, computer = stack.add_account("alumni"), stack.computer()
    stack.settle()
    with opened(stack, person, computer) as session:
        session.mail(person.address)
        session.rcpt(alumnus.address)
        assert session.data(messages.attached("lecture", BIG))[0] == 552
        addressed(session, person, 4)
        assert session.data(messages.plain("news"))[0] == 250
    counted(stack, person, computer, 4)


@pytest.mark.usefixtures("trouble")
def test_a_message_deferred_by_the_milter_is_charged_nothing(stack: Stack, person: Account) -> None:
    alumnus, computer = stack.add_account("alumni"), stack.computer()
    stack.settle()
    send(stack, person, computer, 2)
    to, big = [alumnus.address, f"reader@{OUTSIDE}"], messages.attached("lecture", BIG)
    answers: list[Answer] = []

    def submitted() -> Answer:
        answers.append(submit(stack, person, computer, to, big))
        return answers[-1]

    # Who is left out must be told first: without a server that takes the notice, all wait.
    stack.reconfigure({"site": {"smtp": f"inet:{HOST}:1"}})
    try:
        answer = stack.until_refused(submitted)
    finally:
        stack.reconfigure({"site": {"smtp": f"inet:{HOST}:{stack.layout.ports.smtp}"}})
    assert (answer.stage, answer.code) == ("END", 451)
    taken = len(answers) - 1  # before the milter had read its settings
    counted(stack, person, computer, 2 + 2 * taken)


@pytest.mark.usefixtures("trouble")
def test_a_charge_is_refunded_after_policyd_was_killed(stack: Stack, person: Account) -> None:
    computer = stack.computer()
    session = begun(stack, person, computer, 5)
    counted(stack, person, computer, 5)
    policyd = stack.services.processes["policyd"]
    policyd.kill()
    session.close()
    policyd.start()
    counted(stack, person, computer, 0)


def test_an_accepted_message_stays_counted(stack: Stack, person: Account) -> None:
    computer = stack.computer()
    send(stack, person, computer, 2)
    begun(stack, person, computer, 1).close()
    counted(stack, person, computer, 2)


def test_charged_at_the_end_of_the_message_a_refusal_costs_nothing_and_a_drop_neither(
    other: Stack,
) -> None:
    person, alumnus = other.add_account("staff"), other.add_account("alumni")
    other.settle()
    computer = other.computer()
    send(other, person, computer, 2)
    begun(other, person, computer, 3).close()
    big = messages.attached("lecture", BIG)
    refused(other, person, computer, alumnus.address, big)
    send(other, person, computer, 3)
    counted(other, person, computer, 5)


def test_an_ipv6_client_is_refunded(other: Stack) -> None:
    person, alumnus = other.add_account("staff"), other.add_account("alumni")
    other.settle()
    client = "2001:db8::7"
    with other.clients.open_submission(other.computer()) as session:
        session.docmd("XCLIENT", f"ADDR=IPV6:{client} NAME=reader.example LOGIN={person.name}")
        session.ehlo("reader.example")
        addressed(session, person, 3)
        assert session.data(messages.plain("news"))[0] == 250
        session.mail(person.address)
        session.rcpt(alumnus.address)
        assert session.data(messages.attached("lecture", BIG))[0] == 552
    counted(other, person, client, 3)
