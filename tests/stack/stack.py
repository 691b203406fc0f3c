"""One whole mail server, up in seconds and down again, whatever happens."""

import itertools
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.stack import programs, spamd, tls
from tests.stack.clients import Answer, Clients, Login, until, wait_until
from tests.stack.dovecot import Dovecot
from tests.stack.layout import Layout
from tests.stack.postfix import Postfix
from tests.stack.process import Process
from tests.stack.services import Services

DOMAIN = "mail.example.edu"  # site.domains of the shipped sample
# R18: a change takes effect within 2 seconds.
KNOWN_SECONDS = 2.0
# The same on a machine that runs four other test suites.
PATIENCE_SECONDS = 10.0
IDENTITY = 19_900_101_0000  # a number that nobody has, and those after it
# Every address of 127.0.0.0/8 is this machine: each stands for a computer of its own,
# with its own sending limit.
_COMPUTERS = 250 * 250


@dataclass(frozen=True, slots=True)
class Account:
    """A person who exists in the store."""

    name: str
    role: str
    login: Login

    @property
    def address(self) -> str:
        """Return the mail address."""
        return f"{self.name}@{DOMAIN}"


class Stack:
    """Postfix, Dovecot, spamd and gatepost in one folder, on loopback.

    *settings* are TOML tables laid over the shipped sample, *postfix* parameters of
    main.cf after the shipped ones.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, Any] | None = None,
        postfix: Mapping[str, str] | None = None,
    ) -> None:
        """Write every configuration; nothing runs yet."""
        programs.check_all()
        self.layout = Layout.create()
        try:
            tls.make(self.layout.certificate)
            self.services = Services(self.layout, settings or {})
            self.postfix = Postfix(self.layout, postfix or {})
            self.dovecot = Dovecot(self.layout)
            self.spamd = spamd.process(self.layout)
        except BaseException:
            self.layout.remove()
            raise
        self.clients = Clients(self.layout.ports, tls.client(self.layout.certificate))
        self._computers = itertools.count()
        self._people = itertools.count(1)

    def __enter__(self) -> Self:
        """Start everything; return when all of it serves."""
        try:
            self._up()
        except BaseException:
            print(self.logs(), file=sys.stderr)
            self._down()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take everything down, and the folder with it; show the logs of a failure."""
        if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
            print(self.logs(), file=sys.stderr)
        self._down()

    @property
    def processes(self) -> list[Process]:
        """Return all servers in the order in which they may be stopped."""
        gatepost = self.services.processes.values()
        return [self.postfix.process, self.dovecot.process, *gatepost, self.spamd]

    def add_account(self, role: str, name: str | None = None, *options: str) -> Account:
        """Make an account through the command line, as an operator does.

        With ``--identity-stdin`` the password is the initial one, an identity number.
        """
        number = next(self._people)
        name = name or f"{role}{number}"
        login = Login(name, f"correct horse {name}")
        words = ("account", "add", name, "--role", role, *options)
        if "--identity-stdin" in options:
            login = Login(name, f"{IDENTITY + number}")
        else:
            words += ("--password-stdin",)
        done = self.gatepost(*words, given=f"{login.password}\n")
        if done.returncode:
            raise RuntimeError(f"gatepost {' '.join(words)}: {done.stderr}")
        return Account(name, role, login)

    def computer(self) -> str:
        """Return a client address nobody has used yet."""
        number = next(self._computers) % _COMPUTERS
        return f"127.1.{number // 250}.{number % 250 + 1}"

    @staticmethod
    def settle() -> None:
        """Wait until every service knows of a change of the store."""
        time.sleep(KNOWN_SECONDS)

    @staticmethod
    def until_accepted(send: Callable[[], Answer]) -> Answer:
        """Repeat *send* until its mail is taken; raise when a change has had its time."""
        return until(accepted=True, send=send, seconds=PATIENCE_SECONDS)

    @staticmethod
    def until_refused(send: Callable[[], Answer]) -> Answer:
        """Repeat *send* until its mail is refused; raise when a change has had its time."""
        return until(accepted=False, send=send, seconds=PATIENCE_SECONDS)

    def gatepost(self, *words: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        """Run the command line with *words*."""
        return self.services.command(*words, given=given)

    def reconfigure(self, overrides: Mapping[str, Any]) -> None:
        """Change the configuration; return when every service has read it (SIGHUP)."""
        self.services.configure(overrides)
        running = [each for each in self.services.processes.values() if each.alive]
        before = [_reloads(each) for each in running]
        for each in running:
            each.signal(signal.SIGHUP)

        def all_reloaded() -> bool:
            return all(_reloads(each) > old for each, old in zip(running, before, strict=True))

        wait_until(all_reloaded, "a reload of every service", PATIENCE_SECONDS)

    def logs(self, lines: int = 25) -> str:
        """Return the end of every log, each under its name."""
        tails = {each.name: each.tail(lines) for each in self.processes}
        tails |= {"postfix": self.postfix.tail(lines), "dovecot": self.dovecot.tail(lines)}
        return "\n".join(f"──── {name}\n{text}" for name, text in tails.items() if text.strip())

    def _up(self) -> None:
        # The slow ones first; they start while the others are prepared.
        self.spamd.launch()
        self.services.upgrade_store()
        for each in self.services.processes.values():
            each.launch()
        self.postfix.prepare()
        # Postfix's smtpd is fatal without Dovecot's socket for signing in.
        self.dovecot.process.start()
        self.postfix.process.launch()
        for each in self.processes:
            each.wait()

    def _down(self) -> None:
        for each in self.processes:
            each.signal(signal.SIGTERM)
        for each in self.processes:
            each.stop()
        self.layout.remove()


def _reloads(service: Process) -> int:
    """Return how often *service* has read its configuration again, good or bad."""
    return len(re.findall(r"event=reload(?:ed|-failed)", service.log.read_text("utf-8", "replace")))
