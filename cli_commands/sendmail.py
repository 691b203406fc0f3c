"""Notices, handed to this machine's own mail server by sendmail(1).

The envelope sender is null: neither a bounce nor an automatic reply follows, so notices cannot
loop or fill another mailbox. `From:` is the postmaster, so that people can reply.
"""

import subprocess
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime

from config.settings import Settings
from store.errors import Refused
from store.people.notices import WaitingNotice

# Postfix's sendmail(1) also takes an empty argument, but a wrapper script may lose that.
NULL_SENDER = "<>"
SECONDS = 30  # it only queues; longer means a fault


def post(settings: Settings, notice: WaitingNotice) -> None:
    """Hand *notice* to sendmail(1); raise `Refused` if it fails."""
    message = EmailMessage(policy=SMTP)
    message["From"] = settings.site.postmaster
    message["To"] = notice.recipient
    message["Subject"] = notice.subject
    message["Date"] = localtime()
    # The same at each try, so that a copy sent again after a kill is recognised.
    number = f"notice.{notice.id}.{notice.created_at}"
    message["Message-ID"] = f"<{number}@{settings.site.domains[0]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation mail answers it
    message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange, which does not know it
    message.set_content(notice.text)
    site = settings.site
    command = [site.sendmail, "-i", "-f", NULL_SENDER, "--", notice.recipient]
    try:
        subprocess.run(
            command, input=message.as_bytes(), check=True, capture_output=True, timeout=SECONDS
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Refused(
            f"{site.sendmail} refused the mail for {notice.recipient}: {type(error).__name__}"
        ) from None
