"""Every dialogue of tests/cases/dialogues holds; the README there explains the notation."""

import base64
import re
import shlex
import socket
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.stack import messages, postgres
from tests.stack.clients import SECONDS, Login, wait_until
from tests.stack.ports import HOST
from tests.stack.stack import Stack

FOLDER = Path(__file__).parents[1] / "cases/dialogues"
FILES = sorted(FOLDER.glob("*.txt"))
IMPLICIT_TLS = {"submissions", "imaps", "pop3s"}
_REPEATED = re.compile(r"(\d+) (c -> .*)")


@dataclass(slots=True)
class Dialogue:
    """One file, played line by line."""

    stack: Stack
    database: postgres.Postgres
    undo: ExitStack
    computer: str
    logins: dict[str, Login] = field(default_factory=dict)
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
            "setting": self.change_setting,
            "without": self.stop_server,
            "wait": lambda _: self.stack.settle(),
            "arrived": self.wait_for_mail,
            "connect": self.connect,
            "c ->": lambda text: self.send(f"{text}\r\n".encode()),
            "c =>": self.send_message,
            "c <~": self.expect,
        }[verb](text)

    def add_account(self, text: str) -> None:
        """``account WORD ROLE [OPTION…]``: `{WORD}` is its name."""
        word, role, *options = shlex.split(text)
        account = self.stack.add_account(role, None, *options)
        self.logins[word] = account.login
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

    def change_setting(self, line: str) -> None:
        """``setting SECTION.KEY = VALUE``: in force until the end of the dialogue."""
        self.undo.callback(self.stack.reconfigure, self.stack.services.table)
        self.stack.reconfigure(tomllib.loads(line))

    def stop_server(self, name: str) -> None:
        """``without SERVER``: killed until the end of the dialogue."""
        if name == "store":
            self.undo.callback(self.start_store)
            self.database.control("stop", "-m", "immediate")
            return
        servers = {"spamd": self.stack.spamd, **self.stack.services.processes}
        self.undo.callback(servers[name].start)
        servers[name].kill()

    def start_store(self) -> None:
        """Start PostgreSQL on the port it had; return when policyd counts in it again."""
        self.database.control("restart", "-l", str(self.database.folder / "log"))
        log = self.stack.services.processes["policyd"].log
        wait_until(partial(_is_store_back, log), "policyd with its store")

    def wait_for_mail(self, text: str) -> None:
        """``arrived WORD NUMBER``: until that account has so many mails."""
        word, number = text.split()
        with self.stack.clients.imap(self.logins[word]) as mailbox:
            wait_until(lambda: len(mailbox.subjects()) == int(number), f"{number} mails")

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


def _is_store_back(log: Path) -> bool:
    text = log.read_text("utf-8", "replace")
    return text.count("event=store-lost") == text.count("event=store-back")


@pytest.fixture(scope="module")
def database() -> Iterator[postgres.Postgres]:
    """Return a private PostgreSQL, which `without store` stops."""
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="module")
def stack(database: postgres.Postgres) -> Iterator[Stack]:
    """Return a mail server whose store is *database*."""
    with Stack(settings={"store": {"url": database.fresh_database("gatepost")}}) as running:
        yield running


@pytest.mark.usefixtures("trouble")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_servers_reply_as_the_dialogue_says(
    stack: Stack, database: postgres.Postgres, path: Path
) -> None:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    with ExitStack() as undo:
        dialogue = Dialogue(stack, database, undo, stack.computer())
        undo.callback(dialogue.close)
        while lines:
            repeated = _REPEATED.fullmatch(lines[0])
            if not repeated:
                dialogue.play(lines.pop(0))
                continue
            del lines[0]
            expected = lines.pop(0) if lines[0].startswith("c <~") else None
            for number in range(1, int(repeated[1]) + 1):
                dialogue.play(repeated[2], number)
                if expected:
                    dialogue.play(expected, number)


def test_every_dialogue_begins_with_its_promise() -> None:
    assert FILES
    assert [path.name for path in FILES if not path.read_text().startswith("# ")] == []
