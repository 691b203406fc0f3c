"""Any commands in any order: no crash, and no mail is accepted unchecked (check 15)."""

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.milters.client import Client, Gone, Reply, connected
from tests.milters.conftest import Milter, Start
from tests.stack.ports import free_port

pytestmark = pytest.mark.integration
STAFF = "<staff@mail.example.edu>"
STEPS = {
    "connect": lambda client: client.connect(),
    "mail": lambda client: client.mail(),
    "rcpt": lambda client: client.rcpt(STAFF),
    "header": lambda client: client.header(b"Subject", b"x"),
    "body": lambda client: client.body(b"x"),
    "abort": lambda client: client.abort(),
}


def ended(client: Client, *steps: str) -> Reply | None:
    """Send *steps* and the end of the message; return the answer, if any.

    libmilter hangs up, or says nothing to a step that is out of order; Postfix then
    puts the mail off.
    """
    client.patience(0.5)
    try:
        for step in steps:
            STEPS[step](client)
        return client.end()
    except (Gone, TimeoutError):
        return None


@pytest.mark.parametrize(
    ("steps", "taken"),
    [
        ("", False),
        ("connect", False),
        ("connect rcpt", False),
        ("connect header body", False),
        ("connect body", False),
        ("connect mail abort body", False),
        ("mail rcpt body", True),  # from a client without address
        ("connect mail", True),
        ("connect mail body", True),
        ("connect mail rcpt header", True),
        ("connect mail rcpt mail rcpt body", True),
        ("connect connect mail rcpt", True),
    ],
)
def test_skipped_steps_never_accept_mail_without_a_sender(
    shared: Milter, steps: str, *, taken: bool
) -> None:
    with connected(shared.address) as client:
        reply = ended(client, *steps.split())
    assert reply is None or reply.word == (b"c" if taken else b"y")
    with connected(shared.address) as client:
        client.connect()
        assert client.message(STAFF).word == b"c"


_COMMAND = st.sampled_from([bytes([each]) for each in b"OCHMRTLNBEADKQU?"])
_DATA = st.one_of(
    st.binary(max_size=64),
    st.lists(st.binary(max_size=9), max_size=5).map(b"\0".join),
    st.just(struct.pack(">III", 6, 0x1FF, 0x1FFFFF)),
)
_PACKET = st.builds(
    lambda command, data, lie: struct.pack(">I", max(0, len(data) + 1 + lie)) + command + data,
    _COMMAND, _DATA, st.sampled_from([0, 0, 0, 0, -1, 1, 1 << 30]),
)  # fmt: skip


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(packets=st.lists(st.one_of(_PACKET, st.binary(max_size=64)), max_size=12))
def test_raw_garbage_ends_no_process(shared: Milter, packets: list[bytes]) -> None:
    with connected(shared.address, negotiate=False) as client:
        try:
            for packet in packets:
                client.raw(packet)
        except OSError:
            pass  # the milter closed the connection
    with connected(shared.address) as client:
        client.connect()
        assert client.message(STAFF).word == b"c"
    assert shared.process.alive


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("body", [b"", b"hello\r\n"])
def test_a_mail_without_a_header_gets_a_verdict(milter: Start, body: bytes, *, tcp: bool) -> None:
    """After DATA libmilter ignores what does not begin with a header or its end."""
    with connected(milter(tcp=free_port() if tcp else 0).address) as client:
        client.connect()
        client.mail()
        client.rcpt(STAFF)
        client.data("4EMPTY")
        if body:
            client.body(body)
        assert client.end("4EMPTY").word == b"c"
