"""The same name and password serve IMAP, POP3 and SMTP (R4)."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.dovecot_auth.test_secrecy import LONG, forms
from tests.integration.conftest import People
from tests.stack import messages
from tests.stack.clients import Clients, Login, LoginRefused
from tests.stack.stack import DOMAIN, Stack

DOORS: dict[str, Callable[[Clients, Login], object]] = {
    "imap": lambda clients, login: clients.imap(login),
    "pop3": lambda clients, login: clients.pop3(login),
}


def test_imap_opens_the_mailbox_of_the_role(stack: Stack, people: People) -> None:
    with stack.clients.imap(people.alumni.login) as mailbox:
        _used, allowed = mailbox.quota()
    assert allowed == 50 * 1024  # KiB: 50 MB of R8


def test_pop3_opens_the_mailbox(stack: Stack, people: People) -> None:
    assert stack.clients.pop3(people.student.login).startswith("+OK")


def test_submission_accepts_the_password(stack: Stack, people: People) -> None:
    assert stack.clients.sign_in(people.staff.login).code == 235


def test_an_account_suspended_from_everything_cannot_log_in(stack: Stack) -> None:
    person = stack.add_account("student")
    words = ("account", "suspend", person.name, "--scope", "everything", "--reason", "stolen")
    stack.gatepost(*words).check_returncode()
    assert stack.clients.sign_in(person.login).code == 535
    for door in DOORS.values():
        with pytest.raises(LoginRefused, match="AUTH"):
            door(stack.clients, person.login)


@pytest.mark.parametrize(
    "written",
    [
        "{name}",
        " {name}",
        "{name} ",
        "{name}+x",
        "{name}@" + DOMAIN,
        "{NAME}@" + DOMAIN.upper(),
        " {name}+x+y@" + DOMAIN,
    ],
)
def test_one_person_may_write_the_name_in_many_ways(
    stack: Stack, people: People, written: str
) -> None:
    person = people.student
    name = written.format(name=person.name, NAME=person.name.upper())
    assert stack.clients.sign_in(Login(name, person.login.password)).code == 235
    with stack.clients.imap(Login(name, person.login.password)) as mailbox:
        assert mailbox.quota()[1] == 500 * 1024
    assert stack.clients.pop3(Login(name, person.login.password)).startswith("+OK")


def test_a_name_with_an_apostrophe_signs_in_sends_and_receives(stack: Stack, subject: str) -> None:
    person = stack.add_account("student", "o'brien")
    assert stack.clients.pop3(person.login).startswith("+OK")
    mail = messages.plain(subject)
    answer = stack.until_accepted(
        lambda: stack.clients.submit(
            person.login, mail, to=[person.address], computer=stack.computer()
        )
    )
    assert answer.accepted
    with stack.clients.imap(person.login) as mailbox:
        mailbox.wait_for(subject)
    shown = stack.gatepost("limit", "show", "o'brien").stdout
    assert "account o'brien" in shown
    assert (stack.layout.mail / "o'brien").is_dir()


@pytest.mark.parametrize("door", DOORS)
def test_a_wrong_password_is_refused_as_an_unknown_name_is(
    stack: Stack, people: People, door: str
) -> None:
    said = []
    for login in (Login(people.staff.name, "wrong horse"), Login("nobody", "wrong horse")):
        with pytest.raises(LoginRefused) as refusal:
            DOORS[door](stack.clients, login)
        said.append(str(refusal.value))
    assert said[0] == said[1]
    assert "AUTH" in said[0]  # [AUTHENTICATIONFAILED] and [AUTH]: not "try later"


def test_submission_refuses_a_wrong_password(stack: Stack, people: People) -> None:
    answer = stack.clients.sign_in(Login(people.staff.name, "wrong horse"))
    assert (answer.stage, answer.code) == ("AUTH", 535)


def test_a_sending_suspension_allows_logins_and_explains_itself(stack: Stack) -> None:
    person = stack.add_account("student")
    words = ("account", "suspend", person.name, "--reason", "password phished, ticket 4711")
    stack.gatepost(*words).check_returncode()
    assert stack.clients.sign_in(person.login).code == 235
    mail = messages.plain("never sent")
    refusal = stack.until_refused(
        lambda: stack.clients.submit(person.login, mail, to=[person.address])
    )
    assert (refusal.stage, refusal.code) == ("RCPT", 550)
    assert "password phished, ticket 4711" in refusal.text
    assert stack.clients.pop3(person.login).startswith("+OK")
    with stack.clients.imap(person.login) as mailbox:
        assert mailbox.said.startswith("OK")


def test_authd_is_told_the_door(stack: Stack) -> None:
    person = stack.add_account("student")
    stack.clients.pop3(person.login)
    stack.clients.sign_in(person.login)
    with stack.clients.imap(person.login):
        pass
    log = stack.services.processes["authd"].log.read_text()
    for door in ("imap", "pop3", "smtp"):
        assert f"event=login-allowed user={person.name} service={door} remote=127.0.0.1" in log


def test_submission_takes_no_mail_from_who_did_not_sign_in(stack: Stack, people: People) -> None:
    with stack.clients.open_submission() as session:
        session.mail("anybody@elsewhere.example")
        code, _text = session.rcpt(people.student.address)
    assert code == 554


def test_a_new_password_holds_at_once_and_the_old_one_no_longer(stack: Stack) -> None:
    person = stack.add_account("student")
    words = ("account", "passwd", person.name, "--password-stdin")
    stack.gatepost(*words, given="a new staple battery\n").check_returncode()
    assert stack.clients.sign_in(Login(person.name, "a new staple battery")).code == 235
    assert stack.clients.sign_in(person.login).code == 535


@pytest.mark.parametrize("logins", [12, pytest.param(1000, marks=LONG)])
def test_no_password_reaches_a_log_or_the_store(stack: Stack, logins: int) -> None:
    person, secret = stack.add_account("student"), "a canary 7d1f sings"
    words = ("account", "passwd", person.name, "--password-stdin")
    stack.gatepost(*words, given=f"{secret}\n").check_returncode()
    right, wrong = Login(person.name, secret), Login("nobody", secret)
    for number in range(logins):
        login = wrong if number % 10 == 0 else right
        with suppress(LoginRefused), stack.clients.imap(login):
            pass
        with suppress(LoginRefused):
            stack.clients.pop3(login)
        stack.clients.sign_in(login)
    wanted = forms(secret)
    found = [
        path.name
        for path in stack.layout.root.rglob("*")
        if path.is_file() and wanted.search(path.read_bytes())
    ]
    assert found == []
