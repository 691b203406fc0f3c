"""An exception in any callback is a 451 with gatepost's own text (check 17)."""

import time
from collections.abc import Callable

import pytest

from tests.milters.client import Client, Gone, Reply, connected
from tests.milters.conftest import Milter, Start
from tests.stack.clients import wait_until
from tests.stack.ports import free_port

pytestmark = pytest.mark.integration
STAFF = "<staff@mail.example.edu>"
# Where the step itself can be refused.
OVER_TCP = ("Service.begin", "Message.header")


def broken(prepared: Start, place: str) -> Milter:
    running = prepared(tcp=free_port() if place in OVER_TCP else 0)
    running.break_at(place)
    running.process.start()
    return running


def begun(client: Client) -> None:
    """Begin a message and see that it is in progress."""
    client.connect()
    client.macros(b"M", i="4DEF")
    client.mail()
    client.rcpt(STAFF)
    client.body(b"x")


@pytest.mark.parametrize(
    "place",
    [
        "Service.admit",
        "Service.begin",
        "Service.trusts",
        "Message.recipient",
        "Message.header",
        "Message.body",
        "Message.verdict",
        "Connection._log",
    ],
)
def test_a_bug_is_answered_with_the_milters_own_451(prepared: Start, place: str) -> None:
    running = broken(prepared, place)
    with connected(running.address) as client:
        client.connect()
        for _ in range(2):
            client.macros(b"M", i="4DEF")
            steps: list[Callable[[], Reply | None]] = [
                client.mail,
                lambda: client.rcpt(STAFF),
                lambda: client.header(b"Subject", b"x"),
                lambda: client.body(b"x" * 1000),
                lambda: client.end("4DEF"),
            ]
            # As Postfix: the first refusal ends the message.
            reply = next(r for r in (step() for step in steps) if r and r.word == b"y")
            assert reply.text == "451 4.3.0 The mail filter failed; please try again later"
            client.abort()
    log = running.log()
    assert "RuntimeError: injected" in log
    assert "4DEF event=bug" in log


@pytest.mark.parametrize("tcp", [False, True])
def test_a_fault_at_the_helo_costs_no_mail(prepared: Start, *, tcp: bool) -> None:
    running = prepared(tcp=free_port() if tcp else 0)
    running.break_at("Connection.hello")
    running.process.start()
    with connected(running.address) as client:
        client.connect()
        client.hello("mx.test")
        assert client.message(STAFF).word == b"c"
    assert "event=bug at=hello" in running.log()


def test_a_bug_that_no_callback_catches_accepts_no_mail(prepared: Start) -> None:
    running = prepared()
    running.break_at("Connection.queue_id")  # which is asked again when an error is logged
    running.process.start()
    with connected(running.address) as client:
        client.connect()
        with pytest.raises(Gone):
            client.message(STAFF)
    wait_until(lambda: not running.process.alive, "the process ends")
    assert "event=bug at=binding" in running.log()


def test_a_fault_at_the_negotiation_ends_the_connection(prepared: Start) -> None:
    running = broken(prepared, "Connection.negotiate")
    with connected(running.address, negotiate=False) as client, pytest.raises(Gone):
        client.negotiate()
    assert "event=bug at=negotiate" in running.log()
    assert running.process.alive


def test_a_fault_at_an_abort_harms_no_later_message(prepared: Start) -> None:
    running = broken(prepared, "Message.close")
    with connected(running.address) as client:
        for _ in range(2):
            begun(client)
            client.abort()
        client.mail()  # is answered only in the end, so the abort is done
        client.rcpt(STAFF)
        client.body(b"x")
        assert running.log().count("4DEF event=bug at=abort") == 2


def test_a_bug_at_disconnect_still_releases_the_message(prepared: Start) -> None:
    running = broken(prepared, "Message.close")
    with connected(running.address) as client:
        begun(client)
    wait_until(lambda: "event=bug at=abort" in running.log(), "the fault")
    start = time.monotonic()
    assert running.process.stop() == 0
    assert time.monotonic() - start < 6  # and it does not wait for that message
