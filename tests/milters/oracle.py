"""The first oracle: what the `email` package finds in a message, with our differences applied.

The differences are applied here by rules of their own, written without the scanner's
code, so that both can be wrong only apart. Where `email` takes a message apart in
another way than mail programs do, `Differs` says so, and Dovecot is the oracle
(tests.milters.bodystructure).
"""

import re
from email import message_from_bytes
from email.errors import InvalidHeaderDefect, MissingHeaderBodySeparatorDefect
from email.message import Message

from milters.mime.scan import Scanner

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
# Two named differences: what follows the padding counts, and one character too many does not.
_PADDED_AND_MORE = re.compile(rb"=[^A-Za-z0-9+/]*[A-Za-z0-9+/]")
_BEGIN = re.compile(rb"^begin ", re.MULTILINE)
_IDENTITY = ("", "7bit", "8bit", "binary")
_READ_ALIKE = re.compile(r"[\w-]+/[\w.-]+\s*(;.*)?|text", re.DOTALL | re.IGNORECASE)
_BOUNDARY = re.compile(rb'boundary="?([^";\r\n]*)', re.IGNORECASE)
# Mail programs end an unquoted boundary at a blank; to `email` it goes on.
_BLANK_AFTER = re.compile(r'boundary=([^";\s]+)\s+[^;\s]', re.IGNORECASE)
_BROKEN_HEADER = (MissingHeaderBodySeparatorDefect, InvalidHeaderDefect)
_MESSAGES = ("message/rfc822", "message/global", "message/news")


class Differs(Exception):  # noqa: N818 - a finding, not an error
    """A named difference concerns this message, so the two need not agree."""


def sizes(raw: bytes) -> list[int]:
    """Return the decoded sizes of the files of *raw* in order."""
    _same_structure(raw)
    try:
        message = message_from_bytes(raw)
        leaves = [(part, _counts(part)) for part in _leaves(message)]
        if any(_BEGIN.search(_payload(part)) for part, is_file in leaves if not is_file):
            raise Differs("uuencode in a letter")
        return [len(_payload(part)) for part, is_file in leaves if is_file]
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
    found = [each.size for each in scanner.attachments]
    if len(raw) < 1 << 20:  # all else is within the allowance
        assert scanner.total == min(len(raw), sum(found))
    return found


def _same_structure(raw: bytes) -> None:
    """Raise `Differs` where mail programs see other delimiter lines than `email`."""
    boundaries = [b"--" + each.rstrip() for each in _BOUNDARY.findall(raw)]
    if len(boundaries) != len(set(boundaries)):
        raise Differs("the same boundary on two levels")
    if b"\nFrom " in raw:
        raise Differs("email takes a line of a mailbox for body")
    closed: set[bytes] = set()
    before: list[bytes] = []
    for line in raw.split(b"\n"):
        fits = [each for each in boundaries if line.startswith(each)]
        if len(fits) > 1:
            raise Differs("a line that begins like two delimiters")
        if fits and fits == before:
            raise Differs("delimiter lines with no part between them")
        before = fits
        if fits:
            if not re.fullmatch(rb"(--)?[ \t]*\r?", line[len(fits[0]) :]):
                raise Differs("a delimiter line with something after it")
            if fits[0] in closed:
                raise Differs("email may read on after a closing delimiter")
            if line.startswith(fits[0] + b"--"):
                closed.add(fits[0])


def _leaves(part: Message) -> list[Message]:
    """Return the leaves of *part* as mail programs have them."""
    if any(isinstance(each, _BROKEN_HEADER) for each in part.defects):
        raise Differs("a line that is no field in a header")
    names = [name.lower() for name in part if name.lower().startswith("content-")]
    if len(names) != len(set(names)):
        raise Differs("a field that comes twice")
    two_boundaries = str(part.get("content-type", "")).lower().count("boundary=") > 1
    cut = _BLANK_AFTER.search(str(part.get("content-type", "")))
    is_used = cut is not None and f"--{cut[1]}" in str(part.get_payload())
    if (two_boundaries or is_used) and not part.is_multipart():
        raise Differs("a boundary that is read in two ways")
    kind = part.get_content_type()
    if part.get_content_maintype() == "message" and part.is_multipart():
        if _encoding(part) not in _IDENTITY:
            raise Differs("an encoded message is one attachment")
        if part.get_filename() or kind not in _MESSAGES:
            raise Differs("a message that is a leaf")
    if not part.is_multipart():
        return [part]
    children = [child for child in part.get_payload() if isinstance(child, Message)]
    texts = [child for child in children if child.get_content_type() == "text/plain"]
    if kind == "multipart/alternative" and len(texts) > 1:
        raise Differs("a second plain text of an alternative")
    return [leaf for child in children for leaf in _leaves(child)]


def _counts(part: Message) -> bool:
    if re.search(r"[\s;(]", _encoding(part)):
        raise Differs("an encoding with something around it")
    if part.get_filename() == "":
        raise Differs("an empty name")
    named = part.get_content_disposition() not in (None, "inline") or bool(part.get_filename())
    written = str(part.get("content-type", part.get_content_type()))
    if not named and not _READ_ALIKE.fullmatch(written):
        return True
    return named or part.get_content_type() not in ("text/plain", "text/html")


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    if _encoding(part).endswith(("uuencode", "uue")) and payload.count(b"begin ") > 1:
        raise Differs("uuencode that goes on after its end")
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
