"""The verdict on a message, as the milter answers it to Postfix. Pure."""

from dataclasses import dataclass

from config.replies import one_line
from milters.spam import Edit

# Replies are ASCII (RFC 5321 4.2) of at most 512 bytes with code and line end.
MAX_REPLY_LINE = 480


@dataclass(frozen=True, slots=True)
class Accept:
    """Deliver, with these edits, to all but the *dropped* recipients."""

    edits: tuple[Edit, ...] = ()
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer ``552 5.3.4 …`` or ``451 4.3.0 …``: the client keeps the message."""

    code: str
    enhanced: str
    text: str

    @property
    def is_permanent(self) -> bool:
        """Whether trying again is pointless."""
        return self.code.startswith("5")

    def line(self) -> str:
        """Return the text as one reply line of printable ASCII."""
        return one_line(self.text, MAX_REPLY_LINE)


Verdict = Accept | Refuse

TOO_BIG = ("552", "5.3.4")  # RFC 3463 X.3.4: message too big for system
# RFC 3463 X.6.0: something about the content.
FORGED = Refuse("550", "5.6.0", "Too many X-Spam-* header fields")
MANY_SUBJECTS = Refuse("550", "5.6.0", "Too many Subject header fields")
FAILED = Refuse("451", "4.3.0", "The mail filter failed; please try again later")
BUSY = Refuse("451", "4.3.2", "The mail filter is busy; please try again later")
NO_NOTICE = Refuse(
    "451",
    "4.3.0",
    "Some recipients cannot take this message and the notice to you could not be sent; "
    "please try again later",
)
NO_SPAMD = Refuse("451", "4.3.0", "The spam filter cannot answer now; please try again later")
