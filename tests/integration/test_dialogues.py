"""Every dialogue of tests/cases/dialogues holds; the README there explains the notation."""

import base64
import re
import shlex
import socket
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.stack import messages
from tests.stack.clients import SECONDS
from tests.stack.ports import HOST
from tests.stack.stack import Stack

FOLDER = Path(__file__).parents[1] / "cases/dialogues"
FILES = sorted(FOLDER.glob("*.txt"))
IMPLICIT_TLS = {"submissions", "imaps", "pop3s"}
_REPEATED = re.compile(r"(\d+) (c (?:->|<~) .*)")


@dataclass(slots=True)
class Dialogue:
    """One file, played line by line."""

    stack: Stack
    computer: str
    values: dict[str, str] = field(default_factory=dict)
    channel: socket.socket | None = None
    rest: bytes = b""
    reply: str = ""

    def play(self, line: str, number: int = 1) -> None:
        """Do what *line* says; `{n}` in it is *number*."""
        verb, _, text = line.partition(" ")
        if verb == "c":
            way, _, text = text.partition(" ")
            verb = f"c {way}"
        text = re.sub(r"\{(\w+)\}", lambda m: self.values.get(m[1], str(number)), text)
        {
            "account": self.add_account,
            "gatepost": self.run_command,
            "wait": lambda _: self.stack.settle(),
            "connect": self.connect,
            "c ->": lambda text: self.send(f"{text}\r\n".encode()),
            "c =>": self.send_message,
            "c <~": self.expect,
        }[verb](text)

    def add_account(self, text: str) -> None:
        """``account WORD ROLE [OPTION…]``: `{WORD}` is its name."""
        word, role, *options = shlex.split(text)
        account = self.stack.add_account(role, None, *options)
        self.values |= {
            word: account.name,
            f"{word}_password": account.login.password,
            f"{word}_plain": _plain(account.name, account.login.password),
            f"{word}_wrong": _plain(account.name, "wrong"),
        }

    def run_command(self, text: str) -> None:
        """``gatepost WORD…``: the command line; every service knows of it afterwards."""
        self.stack.gatepost(*shlex.split(text)).check_returncode()
        self.stack.settle()

    def connect(self, service: str) -> None:
        """``connect SERVICE``: a new connection, always from the computer of this dialogue."""
        self.close()
        port = getattr(self.stack.layout.ports, service)
        self.channel = socket.create_connection((HOST, port), SECONDS, (self.computer, 0))
        if service in IMPLICIT_TLS:
            context = self.stack.clients.tls
            self.channel = context.wrap_socket(self.channel, server_hostname=HOST)
        self.rest = b""

    def send(self, data: bytes) -> None:
        """``c -> TEXT``: send a line."""
        assert self.channel
        self.channel.sendall(data)

    def send_message(self, text: str) -> None:
        """``c => N MiB``: send a message with an attachment of that size, dot and all."""
        raw = messages.attached("dialogue", int(text.split(maxsplit=1)[0]) * messages.MIB)
        self.send(raw.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n")

    def expect(self, pattern: str) -> None:
        """``c <~ PATTERN``: the last line of the next reply begins with the pattern."""
        while True:
            self.reply = self.read_line()
            if not re.match(r"\d\d\d-|\* (?!OK \[CAP.*ready|BYE)", self.reply):
                break
        assert re.match(pattern, self.reply), f"{self.reply!r} instead of {pattern!r}"

    def read_line(self) -> str:
        """Return the next line the server sends."""
        assert self.channel
        while b"\r\n" not in self.rest:
            chunk = self.channel.recv(65536)
            assert chunk, f"the server closed the connection after {self.reply!r}"
            self.rest += chunk
        line, _, self.rest = self.rest.partition(b"\r\n")
        return line.decode("utf-8", "replace")

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.channel:
            self.channel.close()


def _plain(name: str, password: str) -> str:
    return base64.b64encode(f"\0{name}\0{password}".encode()).decode()


@pytest.mark.usefixtures("trouble")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_servers_reply_as_the_dialogue_says(stack: Stack, path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    dialogue = Dialogue(stack, stack.computer())
    try:
        while lines:
            repeated = _REPEATED.fullmatch(lines[0])
            if not repeated:
                dialogue.play(lines.pop(0))
                continue
            sent, expected = repeated[2], lines[1]
            del lines[:2]
            for number in range(1, int(repeated[1]) + 1):
                dialogue.play(sent, number)
                dialogue.play(expected, number)
    finally:
        dialogue.close()


def test_every_dialogue_begins_with_its_promise() -> None:
    assert FILES
    assert [path.name for path in FILES if not path.read_text().startswith("# ")] == []
