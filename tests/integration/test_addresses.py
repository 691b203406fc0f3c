"""What docs/operations.md says of addresses that Postfix or Dovecot treat in a way of their own."""

from pathlib import Path

from tests.integration.conftest import People
from tests.stack import messages
from tests.stack.clients import wait_until
from tests.stack.messages import MIB
from tests.stack.stack import Stack


def test_mail_whose_header_needs_smtputf8_bounces_at_dovecots_lmtp(
    stack: Stack, people: People, subject: str
) -> None:
    with stack.clients.open_smtp(stack.computer()) as session:
        session.mail("fränz@elsewhere.example", ["SMTPUTF8", "BODY=8BITMIME"])
        assert session.rcpt(people.staff.address)[0] == 250
        assert session.data(
            f"Subject: {subject}\r\nFrom: fränz@elsewhere.example\r\n\r\nx".encode()
        )
        assert session.noop()[0] == 250
    wait_until(
        lambda: "SMTPUTF8 is required, but was not offered" in postfix_log(stack), "no bounce"
    )


def test_an_alias_of_postfix_is_judged_by_the_address_that_was_given(subject: str) -> None:
    alias, behind = "info@mail.example.edu", "alumna@mail.example.edu"
    with Stack(postfix={"virtual_alias_maps": f"inline:{{ {alias}={behind} }}"}) as own:
        alumna = own.add_account("alumni", "alumna")
        own.settle()
        big = messages.attached(subject, 11 * MIB)
        assert own.clients.deliver(big, to=[behind]).code == 552
        assert own.clients.deliver(big, to=[alias]).accepted
        with own.clients.imap(alumna.login) as mailbox:
            mailbox.wait_for(subject)


def postfix_log(stack: Stack) -> str:
    return Path(stack.postfix.log).read_text("utf-8", "replace")
