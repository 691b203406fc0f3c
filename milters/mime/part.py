"""The description of a MIME part's body by its header. Pure.

A part that mail programs read differently counts as a file. Each field is cut to `MAX_FIELD`
bytes; the rest may hold a file name, so such a part counts as a file, too. The `email`
package reads the name that is shown.
"""

from dataclasses import dataclass
from email.message import Message

from milters.mime import field

# Reading a name is quadratic in their number; RFC 2231 splits a long name into some twenty.
MAX_PARAMETERS = 64
MAX_FIELD = 4096  # a file name of 255 four-byte characters in RFC 2231 needs 3,100
MAX_REPEATED = 4  # the second of a kind already makes the first doubtful
_TYPE = b"content-type"
_DISPOSITION = b"content-disposition"
_ENCODING = b"content-transfer-encoding"
_NAME = b"content-name"
WANTED = frozenset({_TYPE, _DISPOSITION, _ENCODING, _NAME})
# RFC 2045 6.4: encodings that leave a body as it is.
_IDENTITY = frozenset({"", "7bit", "8bit", "binary"})
_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news"})
_TEXT = frozenset({"text/plain", "text/html"})
_UNKNOWN = "?"  # a name that is unreadable, or may have been cut off
# What `email` raises on RFC 2231: for a charset like "idna" or with a NUL, and for
# numbered sections beside one without a number.
_UNREADABLE = (ValueError, LookupError, TypeError)


@dataclass(frozen=True, slots=True)
class Part:
    """A part before its body is read."""

    type: str
    encoding: str
    is_sure: bool  # every program reads the encoding alike
    boundaries: tuple[bytes, ...]
    name: str
    disposition: str

    @property
    def is_multipart(self) -> bool:
        """Whether its boundaries divide it into parts."""
        return bool(self.boundaries)

    @property
    def is_message(self) -> bool:
        """Whether its body is a message whose own parts count.

        Not with a file name, as people save it as one file, and not if it is encoded
        (RFC 2046 5.2.1 forbids that).
        """
        return self.type in _MESSAGES and self.encoding in _IDENTITY and not self.name

    @property
    def is_attachment(self) -> bool:
        """Whether this leaf is a file: declared so, or named, or neither plain text nor HTML."""
        return self.disposition == "attachment" or bool(self.name) or self.type not in _TEXT

    @property
    def may_hold_uuencode(self) -> bool:
        """Whether a program that shows this text may find uuencoded files in it."""
        return self.type == "text/plain" and self.encoding in _IDENTITY


class Fields:
    """Collects the header lines of one part."""

    __slots__ = ("_current", "_found")

    def __init__(self) -> None:
        self._found: dict[bytes, list[bytes]] = {}
        self._current: list[bytes] = []

    def add(self, line: bytes) -> None:
        """Take one header *line*, its line end included."""
        if line[:1] in (b" ", b"\t"):
            if self._current:
                room = MAX_FIELD - len(self._current[-1])
                self._current[-1] += line[: max(0, room)]
            return
        self._current = []
        name, colon, value = line.partition(b":")
        key = name.rstrip(b" \t").lower()
        if colon and key in WANTED:
            values = self._found.setdefault(key, [])
            if len(values) < MAX_REPEATED:
                values.append(value.lstrip(b" \t")[:MAX_FIELD])
                self._current = values

    def part(self, default_type: str) -> Part:
        """Return what the lines mean."""
        kind, boundaries = default_type, list[bytes]()
        if types := self._found.get(_TYPE):
            kind = field.media_type(types[0])
            if kind.startswith("multipart/"):
                boundaries = field.boundaries(types[0])
            elif len(types) > 1:
                kind = ""
        encodings = {field.encoding(value) for value in self._found.get(_ENCODING, ())}
        encoding = field.encoding(self._found.get(_ENCODING, [b""])[0])[0]
        is_alike = len(encodings) <= 1 and all(sure for _, sure in encodings)
        if kind in _MESSAGES and encoding not in _IDENTITY:
            is_alike = False  # some decode it, others read the message as it stands
        said = self._found.get(_DISPOSITION, [])
        return Part(
            type=kind,
            encoding=encoding,
            is_sure=is_alike,
            boundaries=tuple(boundaries),
            name="" if boundaries else self._name(),
            disposition="attachment" if len(said) > 1 else field.disposition(*said),
        )

    def _name(self) -> str:
        values = [value for each in self._found.values() for value in each]
        if any(len(value) >= MAX_FIELD or value.count(b";") >= MAX_PARAMETERS for value in values):
            return _UNKNOWN
        if self._found.get(_NAME) or any(field.has_name(value) for value in values):
            return _filename(self._found) or _UNKNOWN
        return ""


def _filename(found: dict[bytes, list[bytes]]) -> str:
    message = Message()
    for key, values in found.items():
        text = values[0].rstrip(b"\r\n").decode("ascii", "surrogateescape")
        message.set_raw(key.decode("ascii"), text)
    try:
        return message.get_filename() or ""
    except _UNREADABLE:
        return ""
