"""New settings and the end, while a message is on its way."""

import signal
import socket
import threading
import time

import pytest

from tests.milters import test_spamd
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
        test_spamd.read_all(connection)
        self.begun.set()
        time.sleep(self._seconds)
        connection.sendall(test_spamd.OK)


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
def test_a_reload_lets_a_scan_under_way_end(milter: Start, new: dict[str, object]) -> None:
    slow = SlowSpamd(SCAN_SECONDS)
    replies: list[Reply] = []
    with test_spamd.server(slow) as spamd:
        settings = {"spam": {"spamd": f"{spamd.host}:{spamd.port}"}}
        running = milter(**settings)
        with connected(running.address) as client:
            thread = ending(client, replies)
            assert slow.begun.wait(10)
            running.configure({**settings, **new})
            running.process.signal(signal.SIGHUP)
            wait_until(lambda: "event=reload" in running.log(), "reload")
            thread.join()
    assert any(b"X-Spam-Flag" in data for _, data in replies[0].changes)
