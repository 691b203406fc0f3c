"""Mail programs: clients of SMTP, IMAP and POP3, and the replies they get.

Every client has a time limit: a Postfix with a broken configuration does not
refuse, it stays silent.
"""

import imaplib
import poplib
import re
import smtplib
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from types import TracebackType
from typing import Literal, Self

from tests.stack.layout import Ports
from tests.stack.ports import HOST

# Above policyd's 5 s and the milter's 20 s: a late answer is an answer.
SECONDS = 60.0
# From the 250 to the mailbox it is 0.1 s; a busy machine takes longer.
ARRIVAL_SECONDS = 30.0
POLL_SECONDS = 0.05
_NO_REPLY = -1
_SIGNED_IN = 235  # RFC 4954

Stage = Literal["AUTH", "MAIL", "RCPT", "DATA", "END"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply that decided about a mail, and the step at which it came."""

    stage: Stage
    code: int
    text: str
    refused: tuple[tuple[str, str], ...] = ()  # recipients refused while others were taken

    @property
    def accepted(self) -> bool:
        """Whether the server took the mail."""
        return self.stage == "END" and self.code == 250

    def __str__(self) -> str:
        """Return the reply as it came."""
        return f"{self.code} {self.text}"


class LoginRefused(Exception):  # noqa: N818 - an answer, not a fault
    """The server refused the login; the text is its reply."""


@dataclass(frozen=True, slots=True)
class Login:
    """A name and its password."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class Clients:
    """Mail programs set up for one stack."""

    ports: Ports
    tls: ssl.SSLContext

    def submit(
        self,
        login: Login,
        message: bytes,
        *,
        to: Sequence[str],
        sender: str | None = None,
        computer: str = HOST,
        declare_size: bool = True,
    ) -> Answer:
        """Send *message* as a signed-in person does, from the address *computer*."""
        with self.open_submission(computer) as session:
            answer = _sign_in(session, login)
            if answer.code != _SIGNED_IN:
                return answer
            envelope = sender or f"{login.name}@mail.example.edu"
            return _transaction(session, envelope, to, message, declare_size=declare_size)

    def deliver(
        self,
        message: bytes,
        *,
        to: Sequence[str],
        sender: str = "somebody@elsewhere.example",
        computer: str = HOST,
        declare_size: bool = True,
    ) -> Answer:
        """Send *message* as another mail server does: port 25, nobody signed in."""
        with self.open_smtp(computer) as session:
            return _transaction(session, sender, to, message, declare_size=declare_size)

    def sign_in(self, login: Login) -> Answer:
        """Sign in for sending, and send nothing."""
        with self.open_submission() as session:
            return _sign_in(session, login)

    def imap(self, login: Login) -> "Mailbox":
        """Open a mailbox by IMAP over TLS; raise `LoginRefused`."""
        session = imaplib.IMAP4_SSL(HOST, self.ports.imaps, ssl_context=self.tls, timeout=SECONDS)
        try:
            name = login.name.replace("\\", "\\\\").replace('"', '\\"')
            code, (text, *_) = session.login(f'"{name}"', login.password)  # imaplib quotes only one
        except imaplib.IMAP4.error as error:
            session.shutdown()
            raise LoginRefused(_imap_text(error)) from None
        session.select("INBOX")
        # Without the list of capabilities, which is longer than the rest.
        said = re.sub(r"^\[.*?\] ", "", text.decode())
        return Mailbox(session, f"{code} {said}")

    def pop3(self, login: Login) -> str:
        """Return what POP3 over TLS says to LIST; raise `LoginRefused`."""
        session = poplib.POP3_SSL(HOST, self.ports.pop3s, context=self.tls, timeout=SECONDS)
        try:
            session.user(login.name)
            session.pass_(login.password)
            return session.list()[0].decode("utf-8", "replace")
        except poplib.error_proto as error:
            raise LoginRefused(error.args[0].decode("utf-8", "replace")) from None
        finally:
            session.quit()

    def open_submission(self, computer: str = HOST) -> smtplib.SMTP:
        """Open a session inside TLS; nobody is signed in yet."""
        session = self._smtp(self.ports.submission, computer)
        session.starttls(context=self.tls)
        session.ehlo()
        return session

    def open_smtp(self, computer: str = HOST) -> smtplib.SMTP:
        """Open a session as another mail server does."""
        return self._smtp(self.ports.smtp, computer)

    def _smtp(self, port: int, computer: str) -> smtplib.SMTP:
        session = smtplib.SMTP(
            HOST, port, local_hostname="client.test", timeout=SECONDS, source_address=(computer, 0)
        )
        session.ehlo()
        return session


class Mailbox:
    """An open INBOX."""

    def __init__(self, session: imaplib.IMAP4, said: str) -> None:
        """Wrap a session in which INBOX is selected; *said* is the server's reply to LOGIN."""
        self._session = session
        self.said = said

    def __enter__(self) -> Self:
        """Return the mailbox."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Sign out."""
        self._session.logout()

    def messages(self) -> list[EmailMessage]:
        """Return the headers of all mails, oldest first."""
        return [self._fetch(number, "BODY.PEEK[HEADER]") for number in self._numbers()]

    def subjects(self) -> list[str]:
        """Return all subjects as stored, oldest first."""
        return [str(message["Subject"]) for message in self.messages()]

    def wait_for(self, words: str) -> EmailMessage:
        """Return the newest mail with *words* in its subject, once it has arrived."""
        found: list[bytes] = []

        def arrived() -> bool:
            found[:] = [n for n in self._numbers() if words in str(self._header(n)["Subject"])]
            return bool(found)

        wait_until(arrived, f"a mail with {words!r} in its subject")
        return self._fetch(found[-1], "BODY.PEEK[]")

    def wait_for_text(self, words: str) -> EmailMessage:
        """Return a mail with *words* anywhere in it, once it has arrived."""
        found: list[bytes] = []

        def arrived() -> bool:
            self._session.noop()
            _, data = self._session.search(None, "TEXT", f'"{words}"')
            found[:] = (data[0] or b"").split()
            return bool(found)

        wait_until(arrived, f"a mail with {words!r} in it")
        return self._fetch(found[-1], "BODY.PEEK[]")

    def delete_all(self) -> int:
        """Delete every mail; return how many there were."""
        numbers = self._numbers()
        for number in numbers:
            self._session.store(number.decode(), "+FLAGS", "\\Deleted")
        self._session.expunge()
        return len(numbers)

    def quota(self) -> tuple[int, int]:
        """Return used and allowed storage in KiB, as a mail program shows them."""
        _, answer = self._session.getquotaroot("INBOX")
        found = re.search(rb"STORAGE (\d+) (\d+)", b" ".join(_bytes(answer)))
        if found is None:
            raise LookupError(f"no storage quota in {answer!r}")
        return int(found[1]), int(found[2])

    def _numbers(self) -> list[bytes]:
        self._session.noop()  # asks the server to look for new mail
        _, data = self._session.search(None, "ALL")
        return (data[0] or b"").split()

    def _header(self, number: bytes) -> EmailMessage:
        return self._fetch(number, "BODY.PEEK[HEADER]")

    def _fetch(self, number: bytes, part: str) -> EmailMessage:
        _, data = self._session.fetch(number.decode(), f"({part})")
        return message_from_bytes(data[0][1], policy=default)  # type: ignore[index,arg-type]


def wait_until(true: Callable[[], bool], what: str, seconds: float = ARRIVAL_SECONDS) -> None:
    """Return when *true* is; raise `TimeoutError` naming *what* did not happen."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)


def until(accepted: bool, send: Callable[[], Answer], seconds: float) -> Answer:
    """Call *send* until its answer is as *accepted* says; return the answer."""
    answers: list[Answer] = []

    def settled() -> bool:
        answers.append(send())
        return answers[-1].accepted is accepted

    try:
        wait_until(settled, "", seconds)
    except TimeoutError:
        wanted = "accepted" if accepted else "refused"
        raise TimeoutError(f"not {wanted} within {seconds:g} s: {answers[-1]}") from None
    return answers[-1]


def _sign_in(session: smtplib.SMTP, login: Login) -> Answer:
    """Return the reply. PLAIN only: smtplib's login() would try twice."""
    session.user, session.password = login.name, login.password
    try:
        return _answer("AUTH", *session.auth("PLAIN", session.auth_plain))
    except smtplib.SMTPAuthenticationError as error:
        return _answer("AUTH", error.smtp_code, error.smtp_error)


def _transaction(
    session: smtplib.SMTP, sender: str, to: Sequence[str], message: bytes, *, declare_size: bool
) -> Answer:
    reply = session.mail(sender, [f"SIZE={len(message)}"] if declare_size else [])
    if not _positive(reply):
        return _answer("MAIL", *reply)
    refused = []
    for recipient in to:
        reply = session.rcpt(recipient)
        if not _positive(reply):
            refused.append((recipient, str(_answer("RCPT", *reply))))
    if len(refused) == len(to):
        return _answer("RCPT", *reply)
    try:
        reply = session.data(message)
    except smtplib.SMTPDataError as error:  # before the message: DATA itself was refused
        return _answer("DATA", error.smtp_code, error.smtp_error)
    answer = _answer("END", *reply)
    return Answer("END", answer.code, answer.text, tuple(refused))


def _positive(reply: tuple[int, bytes]) -> bool:
    return 200 <= reply[0] < 300


def _answer(stage: Stage, code: int, text: bytes | str) -> Answer:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return Answer(stage, code, " ".join(said.split()))


def _imap_text(error: imaplib.IMAP4.error) -> str:
    said = error.args[0] if error.args else b""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


def _bytes(answer: Sequence[object]) -> list[bytes]:
    """Flatten what imaplib gives for GETQUOTAROOT: lists of lists of bytes."""
    flat: list[bytes] = []
    for each in answer:
        if isinstance(each, bytes):
            flat.append(each)
        elif isinstance(each, list):
            flat.extend(_bytes(each))
    return flat
