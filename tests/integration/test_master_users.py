"""Master users as docs/master-users.md sets them up, and without the look-up it adds."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.stack import messages
from tests.stack.clients import Login, LoginRefused
from tests.stack.dovecot_release import release
from tests.stack.stack import Account, Stack

PAGE = Path(__file__).parents[2] / "docs/master-users.md"
LOOK_UP = "  result_success = continue\n"
SECRET = "a long word of the help desk"


def shipped_block() -> str:
    """Return what the page has people write for the Dovecot that is installed."""
    text = PAGE.read_text()
    return text.partition(f"```{release()}\n")[2].partition("```")[0]


@pytest.fixture(scope="module", params=["as the page says", "without a look-up"])
def served(request: pytest.FixtureRequest) -> Iterator[Stack]:
    stack = Stack()
    folder = stack.layout.root / "dovecot"
    users = folder / "master-users"
    users.write_text(f"helpdesk:{{PLAIN}}{SECRET}\n")
    block = shipped_block().replace("/etc/dovecot/master-users", str(users))
    assert str(users) in block
    if request.param == "without a look-up":
        assert LOOK_UP in block
        block = block.replace(LOOK_UP, "")
    (folder / "conf.d/master-users.conf").write_text(block)
    with stack:
        yield stack


def master(person: Account, password: str = SECRET) -> Login:
    return Login(f"{person.name}*helpdesk", password)


def guesses(stack: Stack) -> int:
    """Return how many wrong passwords the store has counted, of anybody and from anywhere."""
    with closing(sqlite3.connect(stack.layout.settings.with_name("gatepost.db"))) as database:
        found: int = database.execute("SELECT count(*) FROM guess").fetchone()[0]
    return found


def test_a_master_user_opens_the_mailbox_and_the_person_is_charged_no_guess(served: Stack) -> None:
    person = served.add_account("student")
    assert served.clients.deliver(messages.plain("to read"), to=[person.address]).accepted
    with served.clients.imap(master(person)) as mailbox:
        mailbox.wait_for("to read")
        assert mailbox.quota()[1] == 500 * 1024
    assert served.clients.pop3(master(person)).startswith("+OK")
    log = served.services.processes["authd"].log.read_text()
    assert f"event=login-refused user={person.name}" not in log
    assert guesses(served) == 0
    with served.clients.imap(person.login):
        pass


def test_a_master_user_opens_the_mailbox_of_a_stopped_account(served: Stack) -> None:
    person = served.add_account("student")
    words = ("account", "suspend", person.name, "--scope", "everything", "--reason", "stolen")
    served.gatepost(*words).check_returncode()
    with served.clients.imap(master(person)) as mailbox:
        assert mailbox.said.startswith("OK")
    with pytest.raises(LoginRefused):
        served.clients.imap(person.login)


@pytest.mark.parametrize("wrong", ["password", "person", "master"])
def test_a_mistake_of_a_master_user_opens_nothing_and_charges_nobody(
    served: Stack, wrong: str
) -> None:
    person = served.add_account("student")
    login = {
        "password": master(person, "wrong horse"),
        "person": Login("nobody-here*helpdesk", SECRET),
        "master": Login(f"{person.name}*nobody", SECRET),
    }[wrong]
    with pytest.raises(LoginRefused) as refusal:
        served.clients.imap(login)
    # AUTHENTICATIONFAILED, or AUTHORIZATIONFAILED of a person who does not exist; without the
    # look-up, Dovecot itself fails at the end of such a login.
    looked_up = LOOK_UP in (served.layout.root / "dovecot/conf.d/master-users.conf").read_text()
    assert "FAILED]" in str(refusal.value) or (wrong == "person" and not looked_up)
    assert guesses(served) == 0
