"""Mail to send: plain, with an attachment of an exact size, and surely spam."""

from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime, make_msgid

# SpamAssassin's test pattern: 1000 points whatever the rest says.
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
MIB = 1 << 20


def plain(subject: str, *, body: str = "Hello,\n\nsee you tomorrow.\n") -> bytes:
    """Return a short text mail; From and To are as a person's program writes them."""
    return _message(subject, body).as_bytes()


def attached(subject: str, size: int) -> bytes:
    """Return a mail with one attachment of *size* bytes (1.37 times that on the wire)."""
    message = _message(subject, "The file is attached.\n")
    message.add_attachment(
        b"\0" * size, maintype="application", subtype="octet-stream", filename="lecture.bin"
    )
    return message.as_bytes()


def spam(subject: str) -> bytes:
    """Return a mail that any SpamAssassin calls spam."""
    return plain(subject, body=f"Buy now!\n{GTUBE}\n")


def _message(subject: str, body: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = "Sender <sender@elsewhere.example>"
    message["To"] = "undisclosed-recipients:;"
    message["Date"] = localtime()
    message["Message-ID"] = make_msgid(domain="elsewhere.example")
    message["Subject"] = subject
    message.set_content(body)
    return message
