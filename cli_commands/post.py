"""Mail from gatepost to people, handed to this machine's own mail server."""

import subprocess
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime

from config.settings import Settings
from store.errors import Refused
from store.notices import Waiting

SECONDS = 30  # it only queues; longer means that something is wrong


def post(settings: Settings, notice: Waiting) -> None:
    """Hand *notice* to sendmail(1); raise `Refused` when it does not take it."""
    message = EmailMessage(policy=SMTP)
    message["From"] = settings.site.postmaster
    message["To"] = notice.recipient
    message["Subject"] = notice.subject
    message["Date"] = localtime()
    # The same at each try: a second copy, after a kill, is known as one.
    number = f"notice.{notice.id}.{notice.created_at}"
    message["Message-ID"] = f"<{number}@{settings.site.domains[0]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation mail answers it
    message.set_content(notice.text)
    site = settings.site
    command = [site.sendmail, "-i", "-f", site.postmaster, "--", notice.recipient]
    try:
        subprocess.run(
            command, input=message.as_bytes(), check=True, capture_output=True, timeout=SECONDS
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Refused(
            f"{site.sendmail} did not take the mail for {notice.recipient}: {type(error).__name__}"
        ) from None
