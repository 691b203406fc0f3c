"""The milter requests refunds for all messages that Postfix does not accept, and no other."""

import signal
import sqlite3
from contextlib import closing

import pytest

from store.limits.refund import name_of, number_of
from tests.milters.client import Client, connected
from tests.milters.conftest import Milter, Start
from tests.stack.clients import wait_until
from tests.stack.ports import free_port

pytestmark = pytest.mark.integration
STAFF = "<staff@mail.example.edu>"
ALUMNI = "<alumni@mail.example.edu>"
ADDRESS = "192.0.2.1"


@pytest.fixture(params=["unix", "tcp"])
def running(request: pytest.FixtureRequest, milter: Start) -> Milter:
    return milter(tcp=free_port() if request.param == "tcp" else 0)


def written_down(milter: Milter) -> list[int]:
    with closing(sqlite3.connect(milter.folder / "gatepost.db")) as store:
        return [name for (name,) in store.execute("SELECT queue FROM give_back ORDER BY id")]


def only(milter: Milter, *queue_ids: str, address: str = ADDRESS) -> None:
    """Wait until refunds are requested for these, in any order, and for no others."""
    names = sorted(number_of(name_of(each, address)) for each in queue_ids)
    wait_until(lambda: sorted(written_down(milter)) == names, f"{queue_ids} written down")


def up_to_data(client: Client, queue_id: str, *recipients: str) -> None:
    client.mail()
    for each in recipients:
        client.rcpt(each)
    client.data(queue_id)


def test_a_client_gone_right_after_data_causes_a_refund_request(running: Milter) -> None:
    wanted = [f"4DROP{number}" for number in range(100)]
    for each in wanted:
        with connected(running.address) as client:
            client.connect()
            up_to_data(client, each, STAFF)
            client.abort()
            client.send(b"Q")
    only(running, *wanted)


def test_an_smtpd_that_ends_early_causes_a_refund_request(running: Milter) -> None:
    with connected(running.address) as client:
        client.connect()
        up_to_data(client, "4GONE", STAFF)
        client.header(b"Subject", b"half")
    only(running, "4GONE")


def test_only_the_unaccepted_of_several_messages_cause_refund_requests(running: Milter) -> None:
    with connected(running.address) as client:
        client.connect()
        up_to_data(client, "4DROPPED", STAFF)
        client.abort()
        up_to_data(client, "4TAKEN", STAFF)
        assert client.end("4TAKEN").word == b"c"
        up_to_data(client, "4BIG", ALUMNI)
        for _ in range(80):
            client.body(b"x" * 65_000)
        assert client.end("4BIG").text.startswith("552 ")
        client.mail()  # the next one never gets as far as DATA: nothing was charged
        client.rcpt(STAFF)
        client.abort()
        up_to_data(client, "4LAST", STAFF)
        assert client.end("4LAST").word == b"c"
    only(running, "4DROPPED", "4BIG")


def test_a_bug_causes_a_refund_request(prepared: Start) -> None:
    milter = prepared()
    milter.break_at("Message.verdict")
    milter.process.start()
    with connected(milter.address) as client:
        client.connect()
        up_to_data(client, "4FAULT", STAFF)
        assert client.end("4FAULT").text.startswith("451 ")
    only(milter, "4FAULT")


def test_a_client_of_ipv6_is_named_as_policyd_names_it(running: Milter) -> None:
    with connected(running.address) as client:
        # As Postfix writes it in macros (smtpd_milter.c, rfc_addr).
        client.macros(b"C", j="mx.test", client_addr="IPv6:2001:db8::1", client_name="x")
        up_to_data(client, "4SIX", STAFF)
        client.abort()
        client.send(b"Q")
    only(running, "4SIX", address="2001:db8::1")


def test_after_a_reload_refund_requests_go_to_the_new_store(milter: Start) -> None:
    made = milter()
    other = made.folder / "other.db"
    with (
        closing(sqlite3.connect(made.folder / "gatepost.db")) as old,
        closing(sqlite3.connect(other)) as new,
    ):
        old.backup(new)
    made.configure({"store": {"url": f"sqlite:///{other}"}})
    made.process.signal(signal.SIGHUP)
    wait_until(lambda: "event=reloaded" in made.log(), "reload")
    with connected(made.address) as client:
        client.connect()
        up_to_data(client, "4NEW", STAFF)
    with closing(sqlite3.connect(other)) as store:
        wait_until(
            lambda: (
                store.execute("SELECT queue FROM give_back").fetchall()
                == [(number_of(name_of("4NEW", ADDRESS)),)]
            ),
            "the request in the new store",
        )
    assert written_down(made) == []
    wait_until(lambda: not made.has_open(made.folder / "gatepost.db"), "the old store closed")
