"""Guessing over IMAP is slowed; the owner gets in (CHECKS 35a). authd killed in a storm."""

import imaplib
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

import pytest

from store.logins.budgets import ACCOUNT_BUDGET
from tests.integration.conftest import People
from tests.stack import unix_http
from tests.stack.clients import Login, LoginRefused
from tests.stack.ports import HOST
from tests.stack.stack import Stack

pytestmark = pytest.mark.usefixtures("trouble")


class From(imaplib.IMAP4_SSL):
    """An IMAP client at another address of this machine."""

    def __init__(self, stack: Stack, computer: str) -> None:
        self._computer = computer
        super().__init__(HOST, stack.layout.ports.imaps, ssl_context=stack.clients.tls, timeout=60)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        plain = socket.create_connection((HOST, self.port), timeout, (self._computer, 0))
        context: ssl.SSLContext = self.ssl_context
        return context.wrap_socket(plain, server_hostname=HOST)


def said(stack: Stack, login: Login, computer: str) -> str:
    """Return what the server says to *login* from *computer*."""
    session = From(stack, computer)
    try:
        session.login(login.name, login.password)
    except imaplib.IMAP4.error as error:
        session.shutdown()
        return str(error)
    session.logout()
    return "OK"


def test_guessing_is_slowed_and_the_owner_gets_in(stack: Stack, people: People) -> None:
    person, home = stack.add_account("student"), stack.computer()
    assert said(stack, person.login, home) == "OK"
    with ThreadPoolExecutor(8) as pool:
        guesses = [Login(person.name, f"a guess number {n}") for n in range(100)]
        answers = list(pool.map(lambda each: said(stack, each, stack.computer()), guesses))
    refused = sum("AUTHENTICATIONFAILED" in each for each in answers)
    assert refused <= ACCOUNT_BUDGET
    assert sum("UNAVAILABLE" in each for each in answers) == 100 - refused
    assert "UNAVAILABLE" in said(stack, person.login, stack.computer())
    assert said(stack, person.login, home) == "OK"
    assert said(stack, people.student.login, stack.computer()) == "OK"


def asked(stack: Stack, login: Login, computer: str) -> int:
    """Return what authd itself answers to *login*, as it will to the portal."""
    form = {"user": login.name, "password": login.password, "remote": computer, "service": "web"}
    return unix_http.post(stack.layout.run / "auth.sock", "/verify", **form)[0]


def test_guessing_through_two_doors_is_slowed_as_through_one(stack: Stack) -> None:
    person, home = stack.add_account("student"), stack.computer()
    assert said(stack, person.login, home) == "OK"
    guesses = [Login(person.name, f"a guess number {n}") for n in range(100)]
    with ThreadPoolExecutor(8) as pool:
        mail = [pool.submit(said, stack, each, stack.computer()) for each in guesses[:50]]
        web = [pool.submit(asked, stack, each, stack.computer()) for each in guesses[50:]]
        refused = sum("AUTHENTICATIONFAILED" in each.result() for each in mail)
        refused += sum(each.result() == 401 for each in web)
    assert 0 < refused <= ACCOUNT_BUDGET
    assert asked(stack, person.login, stack.computer()) == 429
    assert said(stack, person.login, home) == "OK"
    assert asked(stack, person.login, home) == 200


@pytest.mark.parametrize("door", ["imap", "pop3"])
def test_killing_authd_in_a_storm_never_says_wrong_password(
    stack: Stack, people: People, door: str
) -> None:
    def tried(_: int) -> str:
        try:
            if door == "imap":
                with stack.clients.imap(people.student.login):
                    return "OK"
            stack.clients.pop3(people.student.login)
        except LoginRefused as refusal:
            return str(refusal)
        return "OK"

    authd = stack.services.processes["authd"]
    with ThreadPoolExecutor(8) as pool:
        storm = pool.map(tried, range(60))
        for _ in range(3):
            authd.kill()
            authd.start()
        answers = set(storm)
    assert "OK" in answers
    assert not [each for each in answers if "AUTHENTICATIONFAILED" in each or "[AUTH]" in each]
    assert all(each == "OK" or "UNAVAILABLE" in each or "SYS/TEMP" in each for each in answers)
