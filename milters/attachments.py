"""The attachment limits (R9). Pure: limits and sizes come in, the exceeded limits come out.

What counts is the decoded size of all attachments of a message. Decoding never
makes anything longer, so a message that is no longer on the wire than every limit
needs no measuring at all.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from config.units import Bytes, format_size
from milters.verdict import MAX_REPLY_LINE

# Counting goes on beyond every limit so that the refusal can say the true size:
# a quarter of a second of CPU. Past it the exact size is of no interest.
EXACT_UP_TO = 256 << 20
# RFC 1870 counts CRLF; clients that count LF alone declare 1 to 2 % less than they send.
DECLARED_SHORT = 1.03
MAX_NAMED = 5  # recipients a refusal lists; an SMTP reply line has 512 bytes


class Measure(Enum):
    """How much of a body has to be looked at."""

    NOTHING = "nothing"  # no limit applies
    LENGTH = "length"  # fits as declared; should it be longer, its length counts
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class AttachmentLimit:
    """What *address*, a recipient or the account that signed in, may have in one message."""

    address: str
    size: Bytes
    is_recipient: bool = True


@dataclass(frozen=True, slots=True)
class Measured:
    """The size that counts. *exact* is False when there may be more."""

    size: Bytes
    exact: bool = True


def measure(limits: Iterable[AttachmentLimit], *, declared: Bytes | None) -> Measure:
    """Return what to look at, given the SIZE that the client *declared* (RFC 1870)."""
    smallest = min((limit.size for limit in limits), default=None)
    if smallest is None:
        return Measure.NOTHING
    fits = declared is not None and declared * DECLARED_SHORT <= smallest
    return Measure.LENGTH if fits else Measure.CONTENT


def settled(limits: Iterable[AttachmentLimit], size: Bytes) -> bool:
    """Return whether the verdict is fixed however much more comes."""
    largest = max((limit.size for limit in limits), default=None)
    return largest is not None and size > max(largest, EXACT_UP_TO)


def over(limits: Iterable[AttachmentLimit], size: Bytes) -> tuple[AttachmentLimit, ...]:
    """Return the limits that *size* is over; the limit itself may be reached."""
    return tuple(limit for limit in limits if size > limit.size)


def refusal(exceeded: Sequence[AttachmentLimit], measured: Measured, advice: str) -> str:
    """Return the text of the 552: the measured size, the limits exceeded, what to do.

    It names as many as leave room for the advice.
    """
    size = format_size(measured.size)
    if size in {_rounded(limit.size) for limit in exceeded}:
        size = f"{measured.size} bytes"  # "10.0 MiB are over the limit of 10 MiB" explains nothing
    if not measured.exact:
        size = f"more than {size}"
    for named in range(min(len(exceeded), MAX_NAMED), -1, -1):
        limits = _limits(exceeded, named)
        text = f"Attachments of {size} are over the limit of {limits}. {advice}".rstrip()
        if len(text) <= MAX_REPLY_LINE:
            break
    return text


def _rounded(limit: Bytes) -> str:
    """Return what `format_size` makes of one byte more than *limit*."""
    return format_size(limit + 1)


def _limits(exceeded: Sequence[AttachmentLimit], named: int) -> str:
    """Return the limits of the first *named*; if none fits the line, the smallest one."""
    if not named:
        return format_size(min(limit.size for limit in exceeded))
    parts = [f"{format_size(limit.size)} for {limit.address}" for limit in exceeded[:named]]
    if others := len(exceeded) - named:
        parts.append(f"and {others} other{'s' if others > 1 else ''}")
    return ", ".join(parts)
