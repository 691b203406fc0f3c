"""Hand a notice to Postfix by SMTP before the message that it reports on is accepted.

Postfix passes it to the milter like any other mail. Recognised by its Message-ID while it is
being sent, it is not scanned: it need not wait for spamd and cannot be judged spam.
"""

import contextlib
import smtplib
from email.utils import make_msgid

from config.units import Address
from milters.spamd import DEADLINE

# A local Postfix answers in milliseconds, but may ask another gatepost milter, which
# scans the notice; Postfix itself waits 300 s for a milter's verdict.
SECONDS = DEADLINE + 10


class NotSent(Exception):  # noqa: N818 - a state of the world, not a mistake
    """Postfix did not take the mail; the text is the reason."""

    def __init__(self, reason: str, *, is_permanent: bool = False) -> None:
        super().__init__(reason)
        self.is_permanent = is_permanent  # trying again is pointless


class Postman:
    """Sends notices and recognises them. Thread-safe."""

    def __init__(self) -> None:
        self._in_progress: set[str] = set()

    def send(self, notice: bytes, *, to: str, through: Address) -> None:
        """Return once Postfix has taken *notice*, from the null sender (RFC 3464).

        Raise `NotSent`.
        """
        number = make_msgid(domain=to.rpartition("@")[2])
        self._in_progress.add(number)
        try:
            _send(b"Message-ID: %b\r\n%b" % (number.encode(), notice), to, through)
        except UnicodeError as error:  # a name beyond ASCII, which no local mailbox has
            raise NotSent(str(error), is_permanent=True) from error
        except (OSError, smtplib.SMTPException) as error:
            raise NotSent(str(error), is_permanent=_is_permanent(error)) from error
        finally:
            self._in_progress.discard(number)

    def is_ours(self, message_id: bytes) -> bool:
        """Return whether a message with that *message_id* is a notice being sent."""
        return message_id.decode("ascii", "replace").strip() in self._in_progress


def _send(mail: bytes, to: str, through: Address) -> None:
    # Without a name smtplib would ask DNS for one.
    session = smtplib.SMTP(through.host, through.port, local_hostname="localhost", timeout=SECONDS)
    with contextlib.closing(session):
        session.sendmail("", [to], mail, mail_options=["BODY=8BITMIME"])
        # Taken, however the session ends.
        with contextlib.suppress(OSError, smtplib.SMTPException):
            session.putcmd("quit")


def _is_permanent(error: Exception) -> bool:
    match error:
        case smtplib.SMTPRecipientsRefused():
            code = max(code for code, _ in error.recipients.values())
        case smtplib.SMTPResponseException():
            code = error.smtp_code
        case _:
            return False
    return code >= 500  # noqa: PLR2004 - RFC 5321 4.2.1: permanent
