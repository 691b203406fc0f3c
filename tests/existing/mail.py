"""Mail clients of the existing server, each at an address of its own on the machine's lo.

Runs in the machine's network, with the host's files (`python -m tests.existing.… LEADER`).
"""

import email
import imaplib
import poplib
import smtplib
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message

SERVER = "192.0.2.25"
CAMPUS = "192.0.2.10"
SECOND_CAMPUS = "192.0.2.11"
THIRD_CAMPUS = "192.0.2.12"
RELAY = "192.0.2.20"  # a server of the campus that relays for others
STRANGER = "203.0.113.5"
OTHER_STRANGER = "203.0.113.6"
SPAMMER = "203.0.113.66"
DOMAIN = "example.edu"
OUTSIDE = "friend@elsewhere.example"
OLD_PASSWORD = "old site password"
SECONDS = 60
ARRIVAL_SECONDS = 30
_TLS = ssl.create_default_context()
_TLS.check_hostname = False
_TLS.verify_mode = ssl.CERT_NONE


@dataclass(frozen=True, slots=True)
class Reply:
    """The server's last reply about a mail, and the step that it answered."""

    code: int
    text: str
    step: str

    def __str__(self) -> str:
        """Return code and step."""
        return f"{self.code} at {self.step}"


def address(name: str) -> str:
    """Return the address of an account of the site."""
    return name if "@" in name else f"{name}@{DOMAIN}"


def message(subject: str, *, sender: str = "", body: str = "hello\r\n", **fields: str) -> bytes:
    """Return a small mail."""
    head = {"From": sender or OUTSIDE, "To": f"anna@{DOMAIN}", "Subject": subject, **fields}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in head.items())
    return f"{lines}\r\n{body}".encode()


def send(
    client: str,
    *to: str,
    sender: str = OUTSIDE,
    data: bytes | None = None,
    login: tuple[str, str] | None = None,
    port: int = 25,
    subject: str = "hello",
    size: int = 0,
) -> Reply:
    """Send a mail from the address *client*; return the first refusal, or the last reply."""
    with smtplib.SMTP(SERVER, port, source_address=(client, 0), timeout=SECONDS) as smtp:
        smtp.ehlo("client.example")
        if port != 25:
            smtp.starttls(context=_TLS)
            smtp.ehlo("client.example")
        if login is not None:
            try:
                smtp.login(*login)
            except smtplib.SMTPAuthenticationError as error:
                return Reply(error.smtp_code, str(error.smtp_error), "AUTH")
        options = [f"SIZE={size}"] if size else []
        code, text = smtp.mail(sender, options)
        if code != 250:
            return Reply(code, text.decode(), "MAIL")
        replies = [smtp.rcpt(address(name)) for name in to]
        bad = [each for each in replies if each[0] != 250]
        if len(bad) == len(replies):
            return Reply(bad[0][0], bad[0][1].decode(), "RCPT")
        try:
            code, text = smtp.data(data or message(subject, sender=sender))
        except smtplib.SMTPDataError as error:
            return Reply(error.smtp_code, str(error.smtp_error), "DATA")
        return Reply(code, text.decode(), "END")


def send_patiently(client: str, *to: str, **options: object) -> Reply:
    """Send as a mail server does: again while greylisted."""
    deadline = time.monotonic() + SECONDS
    while True:
        reply = send(client, *to, **options)  # type: ignore[arg-type]
        if "Greylisted" not in reply.text or time.monotonic() > deadline:
            return reply
        time.sleep(0.5)


def imap(name: str, password: str) -> imaplib.IMAP4_SSL:
    """Sign in by IMAP and return the connection."""
    opened = imaplib.IMAP4_SSL(SERVER, ssl_context=_TLS, timeout=SECONDS)
    opened.login(name, password)
    return opened


def pop3(name: str, password: str) -> str:
    """Sign in by POP3 and return the reply to the password."""
    opened = poplib.POP3_SSL(SERVER, context=_TLS, timeout=SECONDS)
    opened.user(name)
    reply = opened.pass_(password).decode()
    opened.quit()
    return reply


def wait_for_mail(
    name: str,
    subject: str,
    password: str = OLD_PASSWORD,
    *,
    folder: str = "INBOX",
    body: str = "",
) -> Message:
    """Wait until a mail with *subject*, and *body* in its text, arrives; return it."""
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while time.monotonic() < deadline:
        box = imap(name, password)
        try:
            if box.select(folder)[0] == "OK":
                for number in box.search(None, "ALL")[1][0].split():
                    raw = box.fetch(number, "(RFC822)")[1][0]
                    found = email.message_from_bytes(raw[1])  # type: ignore[index, arg-type]
                    if subject in str(found["Subject"]) and body in str(found.get_payload()):
                        return found
        finally:
            with suppress(imaplib.IMAP4.error, OSError):
                box.logout()
        time.sleep(0.3)
    raise AssertionError(f"{subject!r} never reached {folder} of {name}")
