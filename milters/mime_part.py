"""What the header of a MIME part says about its body. Pure.

Only three fields matter, and only the first of each. Their parameters (quoting,
RFC 2231, folding, 8-bit bytes) are read by the `email` package itself, so there
is no second opinion about a boundary or a file name; but each field is cut to
`MAX_FIELD` bytes and `MAX_PARAMETERS` first, because that reading takes quadratic time.
What is cut off may be a file name, so such a part counts as an attachment.
"""

import re
from dataclasses import dataclass
from email.message import Message

# Reading parameters is quadratic in their number; RFC 2231 splits a long name in some twenty.
MAX_PARAMETERS = 64
MAX_FIELD = 4096  # a file name of 255 four-byte characters in RFC 2231 needs 3,100
WANTED = frozenset({b"content-type", b"content-disposition", b"content-transfer-encoding"})
# RFC 2045 6.1: a token; blanks, comments and a stray semicolon around it are common.
_TOKEN = re.compile(r"\s*([!-'*+\-.0-9A-Z^-~]*)", re.IGNORECASE)
# RFC 2045 6.4: what may be opened without decoding it first.
_IDENTITY = frozenset({"", "7bit", "8bit", "binary"})
_UNKNOWN = "?"  # a name that nobody can read, or that may have been cut off
# What `email` raises on RFC 2231: for a charset like "idna" or with a NUL, and for
# numbered sections beside one without a number.
_UNREADABLE = (ValueError, LookupError, TypeError)


@dataclass(frozen=True, slots=True)
class Part:
    """A part before its body is read."""

    type: str
    encoding: str
    boundary: str | None
    name: str
    disposition: str

    @property
    def main(self) -> str:
        """Return the first half of the type."""
        return self.type.partition("/")[0]

    @property
    def is_message(self) -> bool:
        """Whether another message follows that can be read as it stands.

        Not an encoded one (RFC 2046 5.2.1 forbids it, so it is a file like any
        other), and not a delivery status, which holds fields and no files.
        """
        return (
            self.main == "message"
            and self.encoding in _IDENTITY
            and self.type != "message/delivery-status"
        )

    @property
    def is_attachment(self) -> bool:
        """Whether this leaf is an attachment: said to be, or has a name, or is not text."""
        if self.disposition == "attachment" or self.name:
            return True
        if self.type == "message/delivery-status":
            return self.encoding not in _IDENTITY
        return self.main != "text"


class Fields:
    """Collects the header lines of one part."""

    __slots__ = ("_current", "_found")

    def __init__(self) -> None:
        self._found: dict[bytes, bytes] = {}
        self._current = b""

    def add(self, line: bytes) -> None:
        """Take one header *line*, its line end included."""
        if line[:1] in (b" ", b"\t"):
            if self._current:
                room = MAX_FIELD - len(self._found[self._current])
                self._found[self._current] += line[: max(0, room)]
            return
        self._current = b""
        name, colon, value = line.partition(b":")
        key = name.lower()
        if colon and key in WANTED and key not in self._found:
            self._current = key
            self._found[key] = value.lstrip(b" \t")[:MAX_FIELD]

    def part(self, default_type: str) -> Part:
        """Return what the lines mean."""
        message = Message()
        message.set_default_type(default_type)
        is_cut = False
        for key, value in self._found.items():
            few = value
            if len(value) >= MAX_FIELD or value.count(b";") >= MAX_PARAMETERS:
                few = b";".join(value.split(b";", MAX_PARAMETERS)[:MAX_PARAMETERS])
                is_cut = True
            text = few.rstrip(b"\r\n").decode("ascii", "surrogateescape")
            message.set_raw(key.decode("ascii"), text)
        encoding = _TOKEN.match(str(message.get("content-transfer-encoding", "")))
        kind = message.get_content_type()
        # Parameters are the dear part of it: read only those that matter, where they are.
        is_multipart = kind.startswith("multipart/")
        named = not is_multipart and any(b"name" in v.lower() for v in self._found.values())
        return Part(
            type=kind,
            encoding=encoding[1].lower() if encoding else "",
            boundary=_boundary(message) if is_multipart else None,
            name=(_name(message) if named else "") or (_UNKNOWN if is_cut else ""),
            disposition=message.get_content_disposition() or "",
        )


def _boundary(message: Message) -> str | None:
    try:
        boundary = message.get_boundary()
    except _UNREADABLE:
        return None
    # A folded one fits no line, so there is none.
    return None if boundary is None or "\n" in boundary or "\r" in boundary else boundary


def _name(message: Message) -> str:
    try:
        return message.get_filename() or ""
    except _UNREADABLE:
        return _UNKNOWN
