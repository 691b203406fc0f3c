"""Mail from gatepost to people, handed to this machine's own mail server.

From the null sender: no bounce and no automatic answer ever comes of it, so it cannot
loop, and a full mailbox fills no other. `From:` is the postmaster, whom people answer.
"""

import subprocess
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime

from config.settings import Settings
from store.errors import Refused
from store.people.notices import WaitingNotice

# sendmail(1) of Postfix: also as an empty word, which a script around it may lose.
NULL_SENDER = "<>"
SECONDS = 30  # it only queues; longer means that something is wrong


def post(settings: Settings, notice: WaitingNotice) -> None:
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
            f"{site.sendmail} did not take the mail for {notice.recipient}: {type(error).__name__}"
        ) from None
