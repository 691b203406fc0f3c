"""A notice handed to Postfix: accepted, deferred or refused."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from config.units import Address
from milters import postman, spamd
from milters.postman import NotSent, Postman
from tests.stack.ports import HOST

NOTICE = b"Subject: caf\xe9\r\n\r\nhello\r\n"
REPLIES = {
    "GREETING": b"220 mx\r\n",
    "EHLO": b"250-mx\r\n250 8BITMIME\r\n",
    "MAIL": b"250 ok\r\n",
    "RCPT": b"250 ok\r\n",
    "DATA": b"354 go\r\n",
    "END": b"250 queued\r\n",
    "QUIT": b"221 bye\r\n",
    "RSET": b"250 ok\r\n",
}


class Server:
    """An SMTP server for one session with scripted replies."""

    def __init__(self, replies: Mapping[str, bytes], knows: Postman) -> None:
        self.listener = socket.create_server((HOST, 0))
        self.address = Address("inet", host=HOST, port=self.listener.getsockname()[1])
        self.heard: list[bytes] = []
        self.known = False  # whether the mail was known as a notice when it came
        self._replies = {**REPLIES, **replies}
        self._knows = knows

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        # After QUIT a client may not wait for the answer.
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            connection.sendall(self._replies["GREETING"])
            in_mail = False
            for line in lines:
                self.heard.append(line)
                if line.startswith(b"Message-ID: "):
                    self.known = self._knows.is_ours(line.removeprefix(b"Message-ID: "))
                if in_mail and line != b".\r\n":
                    continue
                word = "END" if in_mail else line[:4].decode().upper()
                reply = self._replies[word]
                in_mail = word == "DATA" and reply.startswith(b"354")
                connection.sendall(reply)


@contextmanager
def server(
    knows: Postman | None = None, replies: Mapping[str, bytes] = REPLIES
) -> Iterator[Server]:
    made = Server(replies, knows or Postman())
    thread = threading.Thread(target=made.serve)
    thread.start()
    try:
        yield made
    finally:
        thread.join()
        made.listener.close()


def send(through: Server, by: Postman | None = None) -> None:
    (by or Postman()).send(NOTICE, to="writer@mail.example.edu", through=through.address)


def test_a_notice_has_the_null_sender_and_arrives_unchanged() -> None:
    with server() as postfix:
        send(postfix)
    assert b"mail from:<> body=8bitmime\r\n" in map(bytes.lower, postfix.heard)
    assert b"Subject: caf\xe9\r\n" in postfix.heard


def test_a_notice_is_recognised_only_while_it_is_being_sent() -> None:
    by = Postman()
    with server(by) as postfix:
        send(postfix, by)
    [line] = [each for each in postfix.heard if each.startswith(b"Message-ID: ")]
    assert postfix.known
    assert not by.is_ours(line.removeprefix(b"Message-ID: "))
    assert not by.is_ours(b"<somebody@elsewhere.example>")


def test_a_notice_accepted_by_postfix_counts_as_sent_despite_later_errors() -> None:
    for quit_reply in (b"421 too late\r\n", b"\xff\r\n", b""):
        with server(replies={"QUIT": quit_reply}) as postfix:
            send(postfix)


@pytest.mark.parametrize(
    ("step", "reply", "is_permanent"),
    [
        ("RCPT", b"550 5.1.1 unknown\r\n", True),
        ("RCPT", b"552 5.2.2 mailbox full\r\n", True),
        ("END", b"554 no\r\n", True),
        ("RCPT", b"451 later\r\n", False),
        ("END", b"451 later\r\n", False),
        ("GREETING", b"421 busy\r\n", False),
    ],
)
def test_a_refused_notice_is_permanent_or_temporary_by_its_code(
    step: str, reply: bytes, *, is_permanent: bool
) -> None:
    with server(replies={step: reply}) as postfix, pytest.raises(NotSent) as raised:
        send(postfix)
    assert raised.value.is_permanent is is_permanent


def test_a_refused_smtp_connection_is_a_temporary_failure() -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NotSent) as raised:
        Postman().send(NOTICE, to="a@b.example", through=Address("inet", host=HOST, port=port))
    assert not raised.value.is_permanent


def test_a_notice_that_is_scanned_has_the_time_for_it() -> None:
    assert postman.SECONDS > spamd.DEADLINE


@pytest.mark.parametrize("to", ["jörg@mail.example.edu", "x\udce9@mail.example.edu"])
def test_a_notice_to_a_name_that_smtp_cannot_carry_fails_for_good(to: str) -> None:
    with server() as postfix, pytest.raises(NotSent) as caught:
        Postman().send(NOTICE, to=to, through=postfix.address)
    assert caught.value.is_permanent
