"""Reload and SIGTERM while a message is in progress."""

import signal
import socket
import threading
import time

import pytest

from milters.server import DRAIN_SECONDS, STOP_SECONDS
from tests.milters import fake_spamd
from tests.milters.client import Client, Reply, connected
from tests.milters.conftest import Start
from tests.stack.clients import wait_until

pytestmark = pytest.mark.integration
STAFF = "<staff@mail.example.edu>"
SCAN_SECONDS = 2.0


class SlowSpamd:
    """Takes its time for each scan, and knows that one has begun."""

    def __init__(self, seconds: float) -> None:
        self.begun = threading.Event()
        self._seconds = seconds

    def __call__(self, connection: socket.socket) -> None:
        fake_spamd.read_all(connection)
        self.begun.set()
        time.sleep(self._seconds)
        connection.sendall(fake_spamd.OK)


def ending(client: Client, replies: list[Reply]) -> threading.Thread:
    """End a message in a thread of its own: the verdict takes a while."""
    client.connect()
    client.mail()
    client.rcpt(STAFF)
    client.header(b"Subject", b"x")
    thread = threading.Thread(target=lambda: replies.append(client.end()))
    thread.start()
    return thread


@pytest.mark.parametrize("new", [{}, {"spam": {"spamd": "127.0.0.1:1"}}], ids=["same", "other"])
def test_a_reload_lets_a_scan_in_progress_end(milter: Start, new: dict[str, object]) -> None:
    slow = SlowSpamd(SCAN_SECONDS)
    replies: list[Reply] = []
    with fake_spamd.server(slow) as spamd:
        settings = {"spam": {"spamd": f"{spamd.host}:{spamd.port}"}}
        running = milter(**settings)
        with connected(running.address) as client:
            thread = ending(client, replies)
            assert slow.begun.wait(10)
            running.configure({**settings, **new})
            running.process.signal(signal.SIGHUP)
            wait_until(lambda: "event=reloaded" in running.log(), "reload")
            thread.join()
    assert any(b"X-Spam-Flag" in data for _, data in replies[0].changes)


def test_a_slow_sender_does_not_delay_sigterm(milter: Start) -> None:
    running = milter()
    with connected(running.address) as client:
        client.connect()
        client.mail()
        client.rcpt(STAFF)
        client.body(b"x")  # is answered, so the message has begun
        start = time.monotonic()
        running.process.signal(signal.SIGTERM)
        wait_until(lambda: not running.process.alive, "the end")
        assert time.monotonic() - start < DRAIN_SECONDS + STOP_SECONDS
    assert "event=drain-timeout" in running.log()


def test_a_reload_without_the_store_keeps_all_limits(milter: Start) -> None:
    running = milter()
    for each in running.folder.glob("gatepost.db*"):
        each.unlink()
    (running.folder / "gatepost.db").mkdir()  # a new connection finds no database
    running.process.signal(signal.SIGHUP)
    wait_until(lambda: "event=reloaded" in running.log(), "reload")
    with connected(running.address) as client:
        client.connect()
        pdf = {b"Content-Type": b"application/pdf"}
        reply = client.message("<alumni@mail.example.edu>", body=b"x" * (2 << 20), headers=pdf)
    assert "limit of 1 MiB" in reply.text


@pytest.mark.timeout(60)
def test_sigterm_waits_for_the_verdict_of_a_slow_spamd(milter: Start) -> None:
    slow = SlowSpamd(DRAIN_SECONDS + 3)
    replies: list[Reply] = []
    with fake_spamd.server(slow) as spamd:
        running = milter(spam={"spamd": f"{spamd.host}:{spamd.port}"})
        with connected(running.address) as client:
            thread = ending(client, replies)
            assert slow.begun.wait(10)
            running.process.signal(signal.SIGTERM)
            thread.join()
    assert any(b"X-Spam-Flag" in data for _, data in replies[0].changes)
