"""Webmail that tells for whom it signs in, as docs/operations.md has it set up."""

import imaplib
from collections.abc import Iterator

import pytest

from tests.stack.ports import HOST
from tests.stack.stack import Stack

READER = "192.0.2.77"


@pytest.fixture
def believing() -> Iterator[Stack]:
    stack = Stack()
    conf = stack.layout.root / "dovecot/conf.d/webmail.conf"
    conf.write_text(f"login_trusted_networks = {HOST}\n")
    with stack:
        yield stack


def test_a_login_by_webmail_counts_for_its_reader_s_address(believing: Stack) -> None:
    person, tls = believing.add_account("student"), believing.clients.tls
    with imaplib.IMAP4_SSL(HOST, believing.layout.ports.imaps, ssl_context=tls) as session:
        session.xatom("ID", f'("x-originating-ip" "{READER}")')
        session.login(person.name, person.login.password)
    log = believing.services.processes["authd"].log.read_text()
    assert f"event=login-allowed user={person.name} service=imap remote={READER}" in log
