"""Users who sign in and send without a pause, and what became of it.

    python -m tests.existing.traffic LEADER RELEASE      until its input ends; prints JSON

Each login is a new connection. Mail that gets a 4xx is sent again, as a mail server does.
"""

import imaplib
import json
import smtplib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from tests.existing import mail
from tests.existing.machine import REPOSITORY, Machine
from tests.existing.mail import CAMPUS, OLD_PASSWORD, OUTSIDE, SECOND_CAMPUS
from tests.existing.terminal import command
from tests.existing.things import ACCOUNTS

# The addresses that send: exempt them first.
CLIENTS = (CAMPUS, SECOND_CAMPUS)
RETRY_SECONDS = 0.2
END_SECONDS = 120


@dataclass(slots=True)
class Traffic:
    """What became of the logins and mails, and when."""

    logins: int = 0
    submitted: int = 0
    delivered: int = 0
    failed_logins: list[str] = field(default_factory=list)
    # By a reload of Dovecot: a mail program connects again.
    interrupted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    deferred: list[str] = field(default_factory=list)
    slowest_login: float = 0.0


@contextmanager
def running(machine: Machine) -> Iterator[Traffic]:
    """Have users sign in and send meanwhile; the result is complete at the end."""
    traffic = Traffic()
    child = subprocess.Popen(
        command(machine, "tests.existing.traffic"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    try:
        yield traffic
        output, _ = child.communicate(timeout=END_SECONDS)
        assert child.returncode == 0
        for name, value in json.loads(output).items():
            setattr(traffic, name, value)
    finally:
        child.kill()
        child.wait()


class _Users:
    def __init__(self) -> None:
        self.traffic = Traffic()
        self.ended = threading.Event()
        self.began = time.monotonic()
        self.lock = threading.Lock()

    def until_ended(self, use: Callable[[str], None]) -> None:
        """Have one user after the other do something."""
        number = 0
        while not self.ended.is_set():
            use(ACCOUNTS[number % len(ACCOUNTS)])
            number += 1

    def read(self, name: str) -> None:
        """Sign in by IMAP."""
        began = time.monotonic()
        try:
            mail.imap(name, OLD_PASSWORD).logout()
        except (imaplib.IMAP4.abort, OSError) as error:
            self._note(self.traffic.interrupted, f"IMAP {name}: {error}")
        except imaplib.IMAP4.error as error:
            self._note(self.traffic.failed_logins, f"IMAP {name}: {error}")
        self._count_login(began)

    def submit(self, name: str) -> None:
        """Sign in on the submission port and send a mail to the outside."""
        sender, login = mail.address(name), (name, OLD_PASSWORD)
        if self._send(CAMPUS, OUTSIDE, sender=sender, login=login, port=587):
            self.traffic.submitted += 1

    def deliver(self, name: str) -> None:
        """Send a mail to *name* on port 25."""
        if self._send(SECOND_CAMPUS, name, sender=mail.address("printer")):
            self.traffic.delivered += 1

    def _send(self, client: str, to: str, **options: object) -> bool:
        """Send a mail, again after each deferral; return whether it was accepted."""
        while True:
            began = time.monotonic()
            try:
                reply = mail.send(client, to, **options)  # type: ignore[arg-type]
            except smtplib.SMTPResponseException as error:  # without a milter, STARTTLS gets a 4xx
                reply = mail.Reply(error.smtp_code, str(error.smtp_error), "STARTTLS")
            except OSError as error:  # smtplib's other errors are among them
                self._note(self.traffic.refused, f"{to}: {type(error).__name__}: {error}")
                return False
            if "Connection lost to authentication server" in reply.text:
                self._note(self.traffic.interrupted, f"SMTP {to}: {reply.code} {reply.text}")
                continue
            if reply.step == "AUTH":
                self._note(self.traffic.failed_logins, f"SMTP {to}: {reply.code} {reply.text}")
                return False
            if "login" in options and reply.step != "STARTTLS":
                self._count_login(began)
            if reply.code == 250:
                return True
            about = self.traffic.deferred if reply.code < 500 else self.traffic.refused
            self._note(about, f"{to}: {reply}: {reply.text}")
            if reply.code >= 500:
                return False
            time.sleep(RETRY_SECONDS)

    def _count_login(self, began: float) -> None:
        with self.lock:
            self.traffic.logins += 1
            took = round(time.monotonic() - began, 2)
            self.traffic.slowest_login = max(self.traffic.slowest_login, took)

    def _note(self, about: list[str], text: str) -> None:
        about.append(f"after {time.monotonic() - self.began:.2f} s: {text}")


def main() -> None:
    """Run until the input ends."""
    users = _Users()
    threads = [
        threading.Thread(target=users.until_ended, args=(use,))
        for use in (users.read, users.read, users.submit, users.deliver)
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    users.ended.set()
    for thread in threads:
        thread.join()
    json.dump(asdict(users.traffic), sys.stdout)


if __name__ == "__main__":
    main()
