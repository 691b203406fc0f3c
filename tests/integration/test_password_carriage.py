"""Any password that gatepost accepts logs in over IMAP and submission (CHECKS 33)."""

import base64
import imaplib

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from config.loader import load
from store.audit import AuditContext
from store.engine import Store
from store.logins import password_hashes, password_rules
from store.people import accounts
from tests.stack.ports import HOST
from tests.stack.stack import DOMAIN, Account, Stack

CHANGE = AuditContext("tests", "a test")


@pytest.fixture(scope="module")
def person(stack: Stack) -> Account:
    return stack.add_account("staff")


def plain(user: str, password: str) -> bytes:
    """Return the SASL PLAIN message (RFC 4616), as mail programs send it."""
    return f"\0{user}\0{password}".encode()


def opens_imap(stack: Stack, user: str, password: str) -> bool:
    session = imaplib.IMAP4_SSL(HOST, stack.layout.ports.imaps, ssl_context=stack.clients.tls)
    try:
        session.authenticate("PLAIN", lambda _: plain(user, password))
    except imaplib.IMAP4.error:
        session.shutdown()
        return False
    session.logout()
    return True


def opens_submission(stack: Stack, user: str, password: str) -> bool:
    with stack.clients.open_submission() as session:
        code, _ = session.docmd("AUTH PLAIN " + base64.b64encode(plain(user, password)).decode())
    return code == 235


def set_directly(stack: Stack, name: str, password: str) -> None:
    """Set a password as the command line does, without starting an interpreter for each."""
    settings = load(stack.layout.settings)
    longest = max((f"{name}@{domain}" for domain in settings.site.domains), key=len)
    password_rules.check(password, name=longest, local_words={name})
    store = Store(settings.store.url)
    stored = password_hashes.hash_password(password)
    accounts.set_password(store, settings, name, stored, how="reset", change=CHANGE)
    store.close()


@pytest.mark.parametrize(
    "password",
    [
        'a"quote \\ and a backslash',
        " spaces at both ends ",
        "{PLAIN}looks like a hash",
        "percent %u %% and $HOME `x`",
        "日本語のパスワードはながいです",
        "e\u0301te\u0301 de\u0301compose\u0301 ici",
        "tail with a colon: and, comma",
        "🐎🔋📎🌍 " * 10,
        "x" * 100 + "abcdefgh",
    ],
)
def test_an_accepted_password_opens_both_doors_by_name_and_by_address(
    stack: Stack, person: Account, password: str
) -> None:
    set_directly(stack, person.name, password)
    for user in (person.name, person.address):
        assert opens_imap(stack, user, password)
        assert opens_submission(stack, user, password)
    assert not opens_imap(stack, person.name, password + "x")


@hypothesis(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.text(
        st.characters(exclude_categories=("Cc", "Cs")), min_size=password_rules.MIN_LENGTH
    ).filter(lambda text: len(set(text)) >= password_rules.MIN_LENGTH)
)
def test_whatever_is_accepted_opens_both_doors(
    stack: Stack, person: Account, password: str
) -> None:
    try:
        set_directly(stack, person.name, password)
    except ValueError:
        return  # refused when chosen, so nobody has it
    assert opens_imap(stack, f"{person.name}@{DOMAIN}", password)
    assert opens_submission(stack, f"{person.name}@{DOMAIN}", password)


def test_the_longest_password_that_is_accepted_opens_both_doors(
    stack: Stack, person: Account
) -> None:
    room = password_rules.MAX_CARRIED - len(f"{person.name}@{DOMAIN}")
    wide = "".join(chr(0x1F400 + n) for n in range(room // 4))
    longest = wide + "x" * (room % 4)
    assert len(longest.encode()) == room
    set_directly(stack, person.name, longest)
    assert opens_imap(stack, person.address, longest)
    assert opens_submission(stack, person.address, longest)
    with pytest.raises(ValueError, match=str(password_rules.MAX_CARRIED)):
        set_directly(stack, person.name, longest + "x")
