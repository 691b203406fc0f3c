"""What the `email` package finds in a message, with our named differences applied.

The differences are applied here by rules of their own, written without the
scanner's code, so that both can be wrong only apart.
"""

import re
from email import message_from_bytes
from email.message import Message

from milters.mime_scan import Scanner

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
# Two named differences: what follows the padding counts, and one character too many does not.
_PADDED_AND_MORE = re.compile(rb"=[^A-Za-z0-9+/]*[A-Za-z0-9+/]")
_IDENTITY = ("", "7bit", "8bit", "binary")


class Differs(Exception):  # noqa: N818 - a finding, not an error
    """A named difference concerns this message, so the two need not agree."""


def sizes(raw: bytes) -> list[int]:
    """Return the decoded sizes of the attachments of *raw* in order."""
    try:
        parts = list(message_from_bytes(raw).walk())
        return [len(_payload(part)) for part in parts if _counts(part)]
    except TypeError:
        raise Differs("sections of a parameter with and without a number") from None


def scanned(raw: bytes, cuts: tuple[int, ...] = ()) -> list[int]:
    """Return what the scanner finds when *raw* is cut at *cuts*."""
    scanner = Scanner()
    start = 0
    for end in (*cuts, len(raw)):
        scanner.feed(raw[start:end])
        start = end
    scanner.close()
    assert scanner.total == sum(each.size for each in scanner.attachments)
    return [each.size for each in scanner.attachments]


def _counts(part: Message) -> bool:
    encoding = _encoding(part)
    if re.search(r"[\s;(]", encoding):
        raise Differs("an encoding with something around it")
    if part.get_content_type() == "message/delivery-status" and _is_odd(part):
        raise Differs("delivery status is not opened")
    if part.get_content_maintype() == "message" and encoding not in _IDENTITY:
        raise Differs("an encoded message is one attachment")
    if part.is_multipart():
        return False
    named = part.get_content_disposition() == "attachment" or bool(part.get_filename())
    return named or part.get_content_maintype() != "text"


def _is_odd(status: Message) -> bool:
    """Return whether a delivery status holds, or is, something that counts."""
    return any(
        part.get_content_maintype() == "multipart"
        or part.get_content_disposition() == "attachment"
        or part.get_filename()
        or part.get_content_maintype() not in ("text", "message")
        or _encoding(part) not in _IDENTITY
        for part in status.walk()
    )


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    if _encoding(part) != "base64":
        return payload
    del part["Content-Transfer-Encoding"]
    raw = part.get_payload(decode=True)
    assert isinstance(raw, bytes)
    characters = len(_NOT_BASE64.sub(b"", raw))
    if _PADDED_AND_MORE.search(raw) or characters % 4 == 1:
        return bytes(characters * 3 // 4)
    return payload


def _encoding(part: Message) -> str:
    return str(part.get("content-transfer-encoding", "")).lower()
