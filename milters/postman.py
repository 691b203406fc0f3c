"""Hand our own mail to Postfix, by SMTP, before the message it is about is accepted."""

import smtplib

from config.units import Address

# A local Postfix answers in milliseconds; Postfix itself waits 300 s for our verdict.
SECONDS = 10


class NotSent(Exception):  # noqa: N818 - a state of the world, not a mistake
    """Postfix did not take the mail; the text says why."""


def send(notice: bytes, *, to: str, through: Address) -> None:
    """Return once Postfix has taken *notice*; raise `NotSent`. From the null sender (RFC 3464)."""
    try:
        # With a name of our own smtplib would ask DNS for one.
        with smtplib.SMTP(
            through.host, through.port, local_hostname="localhost", timeout=SECONDS
        ) as session:
            session.sendmail("", [to], notice)
    except (OSError, smtplib.SMTPException) as error:
        raise NotSent(str(error)) from error
