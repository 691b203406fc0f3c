"""The whole mail server on PostgreSQL, which goes away and comes back.

What people see while the store is gone: mail flows, limits hold, and nobody is
told that a right password is wrong.
"""

import smtplib
import time
from collections.abc import Iterator

import pytest

from tests.integration import test_refund as refund
from tests.integration.conftest import People
from tests.integration.test_limits import burst
from tests.stack import messages, postgres
from tests.stack.clients import LoginRefused
from tests.stack.postfix import OUTSIDE
from tests.stack.stack import Account, Stack

pytestmark = pytest.mark.usefixtures("trouble")


@pytest.fixture(scope="module")
def database() -> Iterator[postgres.Postgres]:
    """Return a private PostgreSQL."""
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="module")
def stack(database: postgres.Postgres) -> Iterator[Stack]:
    """Return a mail server whose store is *database*."""
    url = database.fresh_database("gatepost")
    with Stack(settings={"store": {"url": url}}) as running:
        yield running


@pytest.fixture(scope="module")
def people(stack: Stack) -> People:
    """Return accounts that every service knows before the store goes."""
    people = People(*(stack.add_account(role) for role in ("staff", "student", "alumni")))
    stack.settle()
    return people


@pytest.fixture
def gone(database: postgres.Postgres, people: People) -> Iterator[None]:
    """Stop PostgreSQL for the time of a test."""
    assert people
    database.control("stop", "-m", "immediate")
    yield
    back(database)


def back(database: postgres.Postgres) -> None:
    """Start PostgreSQL again, with the port it had ("start" would forget it)."""
    database.control("restart", "-l", str(database.folder / "log"))


def test_limits_are_kept_in_postgresql(stack: Stack, people: People) -> None:
    computer = stack.computer()
    assert burst(stack, people.staff, 100, computer=computer).accepted
    assert burst(stack, people.staff, 100, computer=computer).accepted
    assert burst(stack, people.staff, 1, computer=computer).code == 450
    # The test before may have stopped PostgreSQL: what was counted meanwhile is added soon.
    until = time.monotonic() + 10
    while '"used": 200' not in stack.gatepost("limit", "show", computer, "--json").stdout:
        assert time.monotonic() < until
        time.sleep(0.5)


def test_mail_from_the_world_waits_at_its_sender(
    stack: Stack, database: postgres.Postgres, people: People, subject: str
) -> None:
    message, to = messages.plain(subject), [people.student.address]
    database.control("stop", "-m", "immediate")
    try:
        answer = stack.clients.deliver(message, to=to)
    finally:
        back(database)
    # Dovecot cannot know whether the mailbox is full, nor where it is.
    assert 400 <= answer.code < 500
    stack.until_accepted(lambda: stack.clients.deliver(message, to=to))
    with stack.clients.imap(people.student.login) as mailbox:
        mailbox.wait_for(subject)


@pytest.mark.usefixtures("gone")
def test_an_oversized_message_is_refused_by_the_last_known_role(
    stack: Stack, people: People
) -> None:
    message = messages.attached("film", 12 * messages.MIB)
    assert stack.clients.deliver(message, to=[people.alumni.address]).code == 552


@pytest.mark.usefixtures("gone")
def test_nobody_is_told_that_a_right_password_is_wrong(stack: Stack, people: People) -> None:
    with pytest.raises(LoginRefused, match="UNAVAILABLE"):
        stack.clients.imap(people.staff.login)
    with pytest.raises(LoginRefused, match="SYS/TEMP"):
        stack.clients.pop3(people.staff.login)


def test_sending_goes_on_within_the_limit_and_is_counted_afterwards(
    stack: Stack, database: postgres.Postgres
) -> None:
    person, computer = stack.add_account("staff"), stack.computer()
    stack.settle()
    assert burst(stack, person, 90, computer=computer).accepted
    with stack.clients.open_submission(computer) as session:
        session.login(person.login.name, person.login.password)  # before the store goes
        database.control("stop", "-m", "immediate")
        try:
            codes = [_send(session, person, count) for count in (100, 20, 10)]
        finally:
            back(database)
    assert codes == [250, 450, 250]
    stack.until_accepted(lambda: burst(stack, person, 1, computer=stack.computer()))
    assert burst(stack, person, 1, computer=computer).code == 450


def test_mail_dropped_during_an_outage_is_refunded_after_it(
    stack: Stack, database: postgres.Postgres
) -> None:
    person, computer = stack.add_account("staff"), stack.computer()
    stack.settle()
    before = refund.begun(stack, person, computer, 5)
    refund.counted(stack, person, computer, 5)
    meanwhile = refund.opened(stack, person, computer)
    database.control("stop", "-m", "immediate")
    try:
        before.close()
        refund.addressed(meanwhile, person, 3)
        assert meanwhile.docmd("DATA")[0] == 354  # from local counters
        meanwhile.close()
    finally:
        back(database)
    refund.counted(stack, person, computer, 0)


def _send(session: smtplib.SMTP, person: Account, recipients: int) -> int:
    """Send one mail in an open session; return the code of the last reply."""
    session.mail(person.address)
    for number in range(recipients):
        session.rcpt(f"reader{number}@{OUTSIDE}")
    try:
        return session.data(messages.plain("news"))[0]
    except smtplib.SMTPDataError as error:
        session.rset()
        return error.smtp_code
