"""The tour: what a person does, what was sent, what the server said, and whether it is right.

Each step asks real servers through real clients; none looks at our own return values.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.message import EmailMessage

from config.units import format_size
from tests.stack import messages
from tests.stack.clients import Answer, LoginRefused
from tests.stack.messages import MIB
from tests.stack.postfix import OUTSIDE
from tests.stack.stack import Account, Stack

LARGE = 12 * MIB  # above the limit of alumni, below that of students
FILLING = 9 * MIB  # four of them fit in the 50 MB of alumni, a fifth does not
FITTING = 4
CLIENT_LIMIT = 200
MOST_RECIPIENTS = 100
EXEMPT_SECONDS = 6
AT_ONCE_SECONDS = 2.0  # R18


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step showed."""

    sent: str
    said: str
    right: bool


@dataclass(frozen=True, slots=True)
class Tour:
    """Who takes part."""

    stack: Stack
    staff: Account
    student: Account
    alumni: Account
    computer: str  # the address from which the burst is sent


Step = Callable[[Tour], Outcome]


def imap(tour: Tour) -> Outcome:
    """Sign in by IMAP; the mailbox has the role's quota."""
    with tour.stack.clients.imap(tour.staff.login) as mailbox:
        _used, allowed = mailbox.quota()
        said = f"{mailbox.said}; quota {format_size(allowed * 1024)}"
    return Outcome(f"LOGIN {tour.staff.name}", said, allowed == 5120 * 1024)


def pop3(tour: Tour) -> Outcome:
    """Sign in by POP3."""
    said = tour.stack.clients.pop3(tour.student.login)
    return Outcome(f"USER {tour.student.name}, LIST", said, said.startswith("+OK"))


def smtp_auth(tour: Tour) -> Outcome:
    """Sign in for sending."""
    answer = tour.stack.clients.sign_in(tour.alumni.login)
    return Outcome(f"AUTH PLAIN {tour.alumni.name}", str(answer), answer.code == 235)


def wrong_password(tour: Tour) -> Outcome:
    """Try a wrong password on two services."""
    wrong = replace(tour.staff.login, password="wrong horse")
    answer = tour.stack.clients.sign_in(wrong)
    try:
        tour.stack.clients.imap(wrong)
    except LoginRefused as refusal:
        said = f"IMAP: {refusal}; SMTP: {answer}"
        right = "[AUTHENTICATIONFAILED]" in said and answer.code == 535
        return Outcome(f"LOGIN {wrong.name} with a wrong password", said, right)
    return Outcome("LOGIN with a wrong password", "IMAP let us in", right=False)


def plain_mail(tour: Tour) -> Outcome:
    """Send a mail to a colleague and find it in the mailbox."""
    answer = tour.stack.clients.submit(
        tour.staff.login, messages.plain("tomorrow's lecture"), to=[tour.student.address]
    )
    found = arrived(tour, tour.student, "tomorrow's lecture")
    said = f"{answer}; in the mailbox: {found['Subject']}"
    return Outcome(f"a mail to {tour.student.name}", said, answer.accepted)


def spam(tour: Tour) -> Outcome:
    """Get spam from the world; it arrives marked."""
    answer = tour.stack.clients.deliver(messages.spam("cheap watches"), to=[tour.student.address])
    subject = str(arrived(tour, tour.student, "cheap watches")["Subject"])
    said = f"{answer}; in the mailbox: {subject}"
    right = answer.accepted and subject == "***SPAM*** cheap watches"
    return Outcome("GTUBE from the world", said, right)


def attachment_fits(tour: Tour) -> Outcome:
    """Get a large attachment as a student."""
    message = messages.attached("holiday pictures", LARGE)
    answer = tour.stack.clients.deliver(message, to=[tour.student.address])
    found = arrived(tour, tour.student, "holiday pictures")
    (part,) = found.iter_attachments()
    size = len(bytes(part.get_payload(decode=True) or b""))
    said = f"{answer}; in the mailbox: {format_size(size)}"
    return Outcome(f"{format_size(LARGE)} to {tour.student.name}", said, size == LARGE)


def attachment_refused(tour: Tour) -> Outcome:
    """Send the same to an alumni account."""
    message = messages.attached("holiday pictures", LARGE)
    answer = tour.stack.clients.deliver(message, to=[tour.alumni.address])
    told = "10 MiB" in answer.text and "Send a cloud link instead." in answer.text
    right = answer.code == 552 and answer.text.startswith("5.3.4") and told
    return Outcome(f"the same to {tour.alumni.name}", str(answer), right)


def burst(tour: Tour) -> Outcome:
    """Send until the computer's limit is reached."""
    taken = [send(tour, MOST_RECIPIENTS) for _ in range(CLIENT_LIMIT // MOST_RECIPIENTS)]
    answer = send(tour, 1)
    told = re.search(r"\(200 used\)\. Try again \S+", answer.text)
    right = all(each.accepted for each in taken) and answer.code == 450 and bool(told)
    return Outcome(f"{CLIENT_LIMIT} recipients from {tour.computer}, and one", str(answer), right)


def whitelist(tour: Tour) -> Outcome:
    """Exempt the computer; it may send at once."""
    words = ("whitelist", "add", tour.computer, "--for", f"{EXEMPT_SECONDS}s")
    tour.stack.gatepost(*words, "--reason", "newsletter, ticket 4711").check_returncode()
    added = time.monotonic()
    answer = tour.stack.until_accepted(lambda: send(tour, 1))
    waited = time.monotonic() - added
    said = f"{answer}, {waited:.1f} s later"
    return Outcome(f"gatepost {' '.join(words)}", said, waited < AT_ONCE_SECONDS)


def expiry(tour: Tour) -> Outcome:
    """Wait for the exemption to end; the limit is back."""
    time.sleep(EXEMPT_SECONDS)
    answer = send(tour, 1)
    return Outcome(f"the same {EXEMPT_SECONDS} s later", str(answer), answer.code == 450)


def mailbox_full(tour: Tour) -> Outcome:
    """Fill a mailbox; the next mail is refused."""
    for number in range(FITTING):
        message = messages.attached(f"scan {number}", FILLING)
        tour.stack.clients.deliver(message, to=[tour.alumni.address])
        arrived(tour, tour.alumni, f"scan {number}")
    answer = tour.stack.clients.deliver(
        messages.attached("scan too many", FILLING), to=[tour.alumni.address]
    )
    right = answer.code == 552 and answer.text.startswith("5.2.2") and "full" in answer.text
    sent = f"{FITTING} mails of {format_size(FILLING)} to {tour.alumni.name}, and one"
    return Outcome(sent, str(answer), right)


def mailbox_emptied(tour: Tour) -> Outcome:
    """Delete; the mailbox takes mail again."""
    with tour.stack.clients.imap(tour.alumni.login) as mailbox:
        deleted = mailbox.delete_all()
    answer = tour.stack.clients.deliver(
        messages.attached("scan again", FILLING), to=[tour.alumni.address]
    )
    subject = arrived(tour, tour.alumni, "scan again")["Subject"]
    said = f"{answer}; in the mailbox: {subject}"
    return Outcome(f"EXPUNGE of {deleted}, and the mail again", said, answer.accepted)


def arrived(tour: Tour, person: Account, words: str) -> EmailMessage:
    """Return a mail once it is in the mailbox of *person*."""
    with tour.stack.clients.imap(person.login) as mailbox:
        return mailbox.wait_for(words)


def send(tour: Tour, recipients: int) -> Answer:
    """Send one mail of the burst."""
    to = [f"reader{number}@{OUTSIDE}" for number in range(recipients)]
    message = messages.plain("newsletter")
    return tour.stack.clients.submit(tour.staff.login, message, to=to, computer=tour.computer)


STEPS: tuple[tuple[str, Step], ...] = (
    ("sign in by IMAP", imap),
    ("sign in by POP3", pop3),
    ("sign in for sending", smtp_auth),
    ("wrong password", wrong_password),
    ("mail to a colleague", plain_mail),
    ("spam arrives marked", spam),
    ("large attachment, student", attachment_fits),
    ("large attachment, alumni", attachment_refused),
    ("a burst meets the limit", burst),
    ("whitelist lifts it", whitelist),
    ("expiry brings it back", expiry),
    ("full mailbox refuses", mailbox_full),
    ("accepts after a delete", mailbox_emptied),
)
