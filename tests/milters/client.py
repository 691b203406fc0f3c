"""Postfix's side of the milter protocol, version 6: enough of it to misbehave.

A packet is a length of four bytes, a command of one byte, and data
(sendmail's mfdef.h; Postfix's src/milter/milter8.c).
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from config.units import Address

VERSION = 6
ALL_ACTIONS = 0x1FF  # what Postfix 3.7 offers
ALL_STEPS = 0x1FFFFF
SECONDS = 90.0  # above some deadlines of spamd
# Answers that end an exchange; others (add header, …) are changes that come before.
_FINAL = b"acdrtys4"
Text = str | bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """The milter's answer: its final command, and the changes that it asked for before."""

    word: bytes
    data: bytes
    changes: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def text(self) -> str:
        """Return the SMTP reply that the milter chose."""
        return self.data.rstrip(b"\0").decode()


class Gone(Exception):  # noqa: N818 - what happened
    """The milter closed the connection."""


class Client:
    """One connection, as one smtpd process has."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self.actions = 0
        self.steps = 0
        self._in_header = False

    def patience(self, seconds: float) -> None:
        """Wait for answers no longer than *seconds*."""
        self._channel.settimeout(seconds)

    def negotiate(
        self, *, version: int = VERSION, actions: int = ALL_ACTIONS, steps: int = ALL_STEPS
    ) -> None:
        """Offer and see what the milter takes."""
        self.send(b"O", struct.pack(">III", version, actions, steps))
        word, data = self.packet()
        assert word == b"O"
        _, self.actions, self.steps = struct.unpack(">III", data[:12])

    def macros(self, step: bytes, **values: Text) -> None:
        """Send the macros of *step*; a name of several letters gets its braces."""
        pairs = ((f"{{{k}}}" if len(k) > 1 else k, v) for k, v in values.items())
        self.send(b"D", step + b"".join(_string(k) + _string(v) for k, v in pairs))

    def connect(self, address: str = "192.0.2.1", name: Text = "client.test") -> Reply | None:
        """Send the client's name and address."""
        self.macros(b"C", j="mx.test", client_addr=address, client_name=name)
        data = _string(name) + b"4" + struct.pack(">H", 1234) + _string(address)
        return self._step(b"C", data, skip=0x1, quiet=0x1000)

    def hello(self, name: Text) -> Reply | None:
        """Send the client's HELO name."""
        self.macros(b"H")
        return self._step(b"H", _string(name), skip=0x2, quiet=0x2000)

    def mail(
        self, sender: Text = "<a@b.example>", *parameters: Text, user: Text = ""
    ) -> Reply | None:
        """Begin a message."""
        self._in_header = True
        if user:
            self.macros(b"M", auth_authen=user)
        return self._step(b"M", b"".join(map(_string, (sender, *parameters))), quiet=0x4000)

    def rcpt(self, recipient: Text, *parameters: Text) -> Reply | None:
        """Name a recipient."""
        return self._step(b"R", b"".join(map(_string, (recipient, *parameters))), quiet=0x8000)

    def data(self, queue_id: Text) -> Reply | None:
        """Announce the message, and its queue id."""
        self.macros(b"T", i=queue_id)
        return self._step(b"T", b"", skip=0x200, quiet=0x10000)

    def header(self, name: bytes, value: bytes) -> Reply | None:
        """Send a header field."""
        return self._step(b"L", name + b"\0" + value + b"\0", quiet=0x80)

    def end_of_header(self) -> None:
        """End the header once, also an empty one, as Postfix does before all else."""
        if self._in_header:
            self._in_header = False
            self._step(b"N", b"", skip=0x40, quiet=0x40000)

    def body(self, piece: bytes) -> Reply | None:
        """Send a piece of the body."""
        self.end_of_header()
        return self._step(b"B", piece, quiet=0x80000)

    def end(self, queue_id: Text = "4ABC") -> Reply:
        """End the message and wait for the verdict."""
        self.end_of_header()
        self.macros(b"E", i=queue_id)
        self.send(b"E")
        return self.reply()

    def abort(self) -> None:
        """Forget the message; nothing is answered."""
        self.send(b"A")

    def message(
        self,
        *recipients: str,
        body: bytes = b"hello\r\n",
        headers: dict[bytes, bytes] | None = None,
    ) -> Reply:
        """Send a whole message."""
        self.mail()
        for each in recipients:
            self.rcpt(each)
        for name, value in (headers or {b"Subject": b"hello"}).items():
            self.header(name, value)
        for at in range(0, len(body), 65535):
            reply = self.body(body[at : at + 65535])
            if reply and reply.word == b"s":
                break
            if reply and reply.word != b"c":
                return reply
        return self.end()

    def send(self, command: bytes, data: bytes = b"") -> None:
        """Send one packet."""
        self.raw(struct.pack(">I", len(data) + 1) + command + data)

    def raw(self, data: bytes) -> None:
        """Send any bytes."""
        self._channel.sendall(data)

    def packet(self) -> tuple[bytes, bytes]:
        """Return the next packet; raise `Gone`."""
        [size] = struct.unpack(">I", self._read(4))
        data = self._read(size)
        return data[:1], data[1:]

    def reply(self) -> Reply:
        """Return the answer to the last command, with the changes before it."""
        changes: list[tuple[bytes, bytes]] = []
        while True:
            word, data = self.packet()
            if word == b"y":
                return Reply(word, data, tuple(changes))
            if word in (bytes([c]) for c in _FINAL):
                return Reply(word, data, tuple(changes))
            if word != b"p":  # progress
                changes.append((word, data))

    def _step(self, command: bytes, data: bytes, *, quiet: int, skip: int = 0) -> Reply | None:
        """Send what was not negotiated away (SMFIP_NO…); return the answer, if one comes."""
        if self.steps & skip:
            return None
        self.send(command, data)
        return None if self.steps & quiet else self.reply()

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                piece = self._channel.recv(size - len(data))
            except ConnectionError:
                piece = b""
            if not piece:
                raise Gone
            data += piece
        return data


def _string(text: Text) -> bytes:
    """Return *text* as the protocol has it."""
    return (text.encode() if isinstance(text, str) else text) + b"\0"


@contextmanager
def connected(address: Address, *, negotiate: bool = True) -> Iterator[Client]:
    """Yield a connection to the milter at *address*."""
    if address.kind == "unix":
        channel = socket.socket(socket.AF_UNIX)
        channel.connect(address.path)  # blocking: waits for room in the backlog
        channel.settimeout(SECONDS)
    else:
        channel = socket.create_connection((address.host, address.port), SECONDS)
        # Postfix writes macros and command as one; separately each would wait 40 ms.
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with channel:
        client = Client(channel)
        if negotiate:
            client.negotiate()
        yield client
