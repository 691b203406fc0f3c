"""Every byte in every string of the milter protocol, on both kinds of socket.

It may stop neither this message nor another, and nobody is told of an exception. Byte 0
ends a string there, so no string has it.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.milters.client import Client, Reply, connected
from tests.milters.conftest import Milter, prepared_in
from tests.stack.ports import free_port

pytestmark = pytest.mark.integration
STAFF = "<staff@mail.example.edu>"
EVERY_BYTE = [bytes([value]) for value in range(1, 256)]
USUAL = {
    "connect": "client.test",
    "helo": "mx.test",
    "sender": "<a@b.example>",
    "parameter of MAIL": "BODY=8BITMIME",
    "recipient": STAFF,
    "parameter of RCPT": "NOTIFY=NEVER",
    "header name": "Subject",
    "header value": "hello",
    "{client_addr}": "192.0.2.1",
    "j": "mx",
    "i": "4ABC",
    "{auth_authen}": "staff",
    "{rcpt_addr}": "staff@mail.example.edu",
    "i at the end": "4ABC",
}


@pytest.fixture(scope="module", params=["unix", "tcp"])
def running(request: pytest.FixtureRequest, database: Path) -> Iterator[Milter]:
    """Return a milter on one kind of socket."""
    with ExitStack() as stack:
        port = free_port() if request.param == "tcp" else 0
        made = prepared_in(stack, database, {}, port)
        made.process.start()
        yield made


def conversation(client: Client, place: str, text: bytes) -> Iterator[Reply | None]:
    """Send a message with *text* in one *place*; give each answer."""
    said = {**{k: v.encode() for k, v in USUAL.items()}, place: text}
    yield client.connect(name=said["connect"])
    yield client.hello(said["helo"])
    client.macros(b"C", j=said["j"], client_addr=said["{client_addr}"])
    client.macros(b"M", i=said["i"], auth_authen=said["{auth_authen}"])
    yield client.mail(said["sender"], said["parameter of MAIL"])
    client.macros(b"R", rcpt_addr=said["{rcpt_addr}"])
    yield client.rcpt(said["recipient"], said["parameter of RCPT"])
    yield client.header(said["header name"], said["header value"])
    yield client.body(b"hello\r\n")
    yield client.end(said["i at the end"])


@pytest.mark.parametrize("place", USUAL)
def test_no_byte_anywhere_stops_a_mail(running: Milter, place: str) -> None:
    for byte in EVERY_BYTE:
        with connected(running.address) as client:
            for reply in conversation(client, place, b"x" + byte + b"y"):
                assert reply is None or (reply.word, reply.data) in ((b"c", b""), (b"s", b"")), byte
    log = running.log()
    assert "event=bug" not in log
    assert "Traceback" not in log


def test_a_helo_that_is_not_utf8_does_not_stop_the_next_message(running: Milter) -> None:
    with connected(running.address) as client:
        client.connect()
        client.hello(b"m\xfcller-pc")
        assert client.message(STAFF).word == b"c"
        assert client.message(STAFF).word == b"c"


def test_bytes_of_an_address_are_in_the_log_as_they_came(running: Milter) -> None:
    with connected(running.address) as client:
        client.connect()
        client.mail(b"<jos\xe9@b.example>")
        client.rcpt(b"<jos\xe8@elsewhere.example>")
        assert client.end("4LOG").word == b"c"
    [line] = [line for line in running.log().splitlines() if " 4LOG " in line]
    assert "jos\\\\udce9" in line or "jos\\udce9" in line


def test_a_mail_too_big_for_a_recipient_that_cannot_be_named_is_refused_for_all(
    running: Milter,
) -> None:
    pdf = {b"Content-Type": b"application/pdf"}
    with connected(running.address) as client:
        client.connect()
        client.mail(user="staff")
        client.rcpt(STAFF)
        client.macros(b"R", rcpt_addr=b"alumni+\xe9@mail.example.edu")
        client.rcpt(b"<alumni+\xe9@mail.example.edu>")
        for name, value in pdf.items():
            client.header(name, value)
        for _ in range(20):
            client.body(b"x" * 60_000)
        reply = client.end()
    assert reply.text.startswith("552 5.3.4 Attachments of")
    assert not reply.changes


def user_of(running: Milter, queue_id: str) -> str:
    [line] = [line for line in running.log().splitlines() if f" {queue_id} " in line]
    return line


def test_macros_of_an_aborted_message_do_not_reach_the_next(running: Milter) -> None:
    with connected(running.address) as client:
        client.connect()
        client.macros(b"M", i="4OLD", auth_authen="staff", mail_addr="a@b.example")
        client.mail()
        client.macros(b"R", i="4OLD", rcpt_addr="student@mail.example.edu")
        client.rcpt("<student@mail.example.edu>")
        client.macros(b"E", i="4OLD")
        client.abort()
        client.macros(b"M", j="mx")  # of those we ask for, the one that is always there
        client.mail("<c@d.example>")
        client.macros(b"R", rcpt_addr="staff@mail.example.edu")
        client.rcpt(STAFF)
        client.body(b"x")
        assert client.end("4NEW").word == b"c"
    line = user_of(running, "4NEW")
    assert "user=" not in line
    assert "recipients=1" in line
    assert "4OLD" not in running.log()
