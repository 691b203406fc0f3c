"""The milter knows the client from Postfix's macros alone."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.stack import messages
from tests.stack.clients import wait_until
from tests.stack.stack import Account, Stack

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    settings = {"spam": {"trusted": ["192.0.2.77/32", "2001:db8::77/128"]}}
    main_cf = {
        "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
        "non_smtpd_milters": "$gatepost_milter",
        "inet_protocols": "all",  # for XCLIENT alone: Postfix listens where it did
    }
    with Stack(settings=settings, postfix=main_cf) as running:
        yield running


@pytest.fixture(scope="module")
def staff(stack: Stack) -> Account:
    return stack.add_account("staff")


def logged(stack: Stack, queue_id: str) -> str:
    """Return the milter's line about a mail."""
    log = stack.services.processes["milter"].log

    def lines() -> list[str]:
        return [line for line in log.read_text().splitlines() if f" {queue_id} " in line]

    wait_until(lambda: bool(lines()), "the milter's line")
    return lines()[0]


@pytest.mark.parametrize("address", ["192.0.2.77", "192.0.2.78", "2001:db8::77", "2001:db8::78"])
def test_the_client_behind_a_webmail_decides_whether_mail_is_trusted(
    stack: Stack, staff: Account, address: str
) -> None:
    family = "IPV6:" if ":" in address else ""
    with stack.clients.open_smtp() as session:
        session.docmd("XCLIENT", f"ADDR={family}{address} NAME=reader.example")
        session.ehlo("reader.example")
        session.mail("a@elsewhere.example")
        session.rcpt(staff.address)
        code, text = session.data(messages.spam(f"xclient-{address}."))
    assert code == 250
    line = logged(stack, text.decode().rpartition(" ")[2])
    assert f"client={address} " in line
    assert ("Subject=" in line) is not address.endswith("77")


def test_each_connection_has_its_own_client(stack: Stack, staff: Account) -> None:
    for _ in range(3):
        computer = stack.computer()
        message = messages.plain("own.")
        answer = stack.clients.deliver(message, to=[staff.address], computer=computer)
        assert f"client={computer} " in logged(stack, answer.text.rpartition(" ")[2])


def test_mail_of_sendmail_is_local_and_scanned(stack: Stack, staff: Account) -> None:
    command = [str(stack.layout.root / "sendmail"), "-i", "-f", "root@mail.example.edu"]
    message = b"X-Spam-Flag: NO\n" + messages.spam("by-sendmail.").replace(b"\r\n", b"\n")
    subprocess.run([*command, staff.address], input=message, check=True)
    with stack.clients.imap(staff.login) as mailbox:
        found = mailbox.wait_for("by-sendmail.")
    assert found["Subject"] == "***SPAM*** by-sendmail."
    assert found.get_all("X-Spam-Flag") == ["YES"]
    log = stack.services.processes["milter"].log.read_text()
    assert "client=127.0.0.1 sender=root@mail.example.edu" in log
