"""The delivery status notification for recipients whose limit a message exceeds (RFC 3464). Pure.

It goes to the account that signed in, whatever sender the message claims, so it only ever
reaches the account that submitted the message.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32

from config.units import format_size
from milters.attachments import AttachmentLimit

MAX_HEADER = 16 << 10  # bytes of the original header that the notice repeats
# The fields by which the sender recognises the message.
SHOWN = frozenset({"from", "to", "cc", "date", "subject", "message-id"})


@dataclass(frozen=True, slots=True)
class FailedRecipients:
    """What the notice is about: *text* is the refusal, *header* the fields `SHOWN`."""

    over: Sequence[AttachmentLimit]
    text: str
    header: bytes
    queue_id: str
    date: str
    mta: str  # what Postfix calls itself


def build(refused: FailedRecipients, *, to: str, postmaster: str) -> bytes:
    """Return the notice as it goes over the wire, but for its Message-ID."""
    report = MIMEMultipart("report", report_type="delivery-status")
    report["From"] = f"Mail Delivery System <{postmaster}>"
    report["To"] = to
    report["Subject"] = "Your message was too big for some recipients"
    report["Date"] = refused.date
    report["Auto-Submitted"] = "auto-replied"  # RFC 3834: no machine answers it
    if not refused.header.isascii():
        report["Content-Transfer-Encoding"] = "8bit"  # as a part of it (RFC 2045 6.4)
    report.attach(MIMEText(_body_text(refused)))
    report.attach(_status(refused))
    report.attach(_original(refused.header))
    return report.as_bytes(policy=compat32.clone(linesep="\r\n"))


def _body_text(refused: FailedRecipients) -> str:
    names = "".join(
        f"    {limit.address} (limit {format_size(limit.size)})\n" for limit in refused.over
    )
    return (
        "Your message was too big for these recipients and was NOT delivered to them:\n\n"
        f"{names}\n{refused.text}\n\n"
        "All other recipients get it. You need not send it to them again.\n"
    )


def _status(refused: FailedRecipients) -> Message:
    status = MIMEBase("message", "delivery-status")
    message = Message()
    message["Reporting-MTA"] = f"dns; {refused.mta}"
    message["X-Postfix-Queue-ID"] = refused.queue_id
    message["Arrival-Date"] = refused.date
    status.attach(message)
    for limit in refused.over:
        recipient = Message()
        recipient["Final-Recipient"] = _rfc3464_address(limit.address)
        recipient["Action"] = "failed"
        recipient["Status"] = "5.3.4"
        recipient["Diagnostic-Code"] = f"smtp; 552 5.3.4 {refused.text}"
        status.attach(recipient)
    return status


def _rfc3464_address(address: str) -> str:
    """Return *address* with its type; RFC 6533 3 has ASCII for those of SMTPUTF8."""
    if address.isascii():
        return f"rfc822; {address}"
    return "utf-8; " + "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in address)


def _original(header: bytes) -> Message:
    if len(header) > MAX_HEADER:
        header = header[: header.rfind(b"\n", 0, MAX_HEADER) + 1]
    original = Message()
    original["Content-Type"] = "text/rfc822-headers"
    if not header.isascii():
        original["Content-Transfer-Encoding"] = "8bit"
    original.set_payload(header.decode("ascii", "surrogateescape"))
    return original
