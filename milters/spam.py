"""What a spam verdict does to a header (R10). Pure: fields in, edits out.

The tag goes before the subject's own bytes, which stay as they are: encoded words
are not decoded. Only bytes that are no UTF-8 must be re-encoded (RFC 2047),
because libmilter's Python binding carries text. A forged verdict never survives:
``X-Spam-*`` fields of strangers are removed before ours are added.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import Header, decode_header

# What is decoded to look for a tag in disguise; a subject line has 998 bytes.
MAX_DECODED = 2048
MAX_STATUS = 900  # bytes of X-Spam-Status; SpamAssassin knows 1,500 rule names


@dataclass(frozen=True, slots=True)
class Field:
    """One header field as it came in; folds are LF and a blank."""

    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """What spamd said."""

    is_spam: bool
    score: float
    threshold: float
    tests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of the header: field *index* (from 1) of that name gets *value*.

    Index 0 adds a field; the value ``None`` removes one.
    """

    name: str
    index: int
    value: str | None


def received(name: str, address: str, *, authenticated: bool, date: str) -> bytes:
    """Return the Received field that Postfix will add, which a milter does not see.

    SpamAssassin's network tests and its trust in authenticated senders (ESMTPA,
    RFC 3848) need it.
    """
    protocol = "ESMTPA" if authenticated else "ESMTP"
    line = f"Received: from {name} ({name} [{address}])\r\n\tby gatepost with {protocol}; {date}"
    return line.encode("ascii", "replace") + b"\r\n"


def removals(fields: Sequence[Field]) -> list[Edit]:
    """Return the edits that remove every X-Spam-* field, the last of a name first."""
    seen: dict[str, int] = {}
    edits = []
    for field in fields:
        key = field.name.lower()
        if key.startswith("x-spam-"):
            seen[key] = seen.get(key, 0) + 1
            edits.append(Edit(field.name, seen[key], None))
    return edits[::-1]


def verdict(report: Report) -> list[Edit]:
    """Return the edits that add the verdict."""
    answer = "Yes" if report.is_spam else "No"
    status = f"{answer}, score={report.score:.1f} required={report.threshold:.1f}"
    tests = ", ".join(report.tests) or "none"
    edits = [
        Edit("X-Spam-Score", 0, f"{report.score:.1f}"),
        Edit("X-Spam-Status", 0, _folded(f"{status} tests={tests}")),
    ]
    return [Edit("X-Spam-Flag", 0, "YES"), *edits] if report.is_spam else edits


def unscanned(reason: str) -> list[Edit]:
    """Return the edit that says why there is no verdict."""
    return [Edit("X-Spam-Status", 0, f"Unknown, {reason}")]


def tagged(fields: Iterable[Field], tag: str) -> list[Edit]:
    """Return the edit that puts *tag* at the start of the subject; none if it is there."""
    subjects = [field for field in fields if field.name.lower() == "subject"]
    if not subjects:
        return [Edit("Subject", 0, tag.rstrip())]
    value = subjects[0].value
    if has_tag(value, tag):
        return []
    return [Edit("Subject", 1, _before(tag, value))]


def has_tag(value: bytes, tag: str) -> bool:
    """Return whether a subject starts with *tag*, be it inside encoded words."""
    wanted = _squeezed(tag)
    text = value[:MAX_DECODED].decode("utf-8", "replace")
    if _squeezed(text).startswith(wanted):
        return True
    try:
        words = decode_header(text)
    except (HeaderParseError, ValueError):
        return False
    return _squeezed("".join(_plain(*word) for word in words)).startswith(wanted)


def _plain(word: bytes | str, charset: str | None) -> str:
    if isinstance(word, str):
        return word
    try:
        return word.decode(charset or "ascii", "replace")
    except (LookupError, ValueError):  # a charset that nobody knows, or one like "idna"
        return word.decode("ascii", "replace")


def _squeezed(text: str) -> str:
    """Blanks and case do not make a tag another one."""
    return "".join(text.split()).casefold()


def _before(tag: str, value: bytes) -> str:
    try:
        return tag + value.decode("utf-8")
    except UnicodeDecodeError:
        # Windows-1252 is what raw 8-bit subjects mostly are; where it has no
        # character, Latin-1 has one.
        try:
            text = value.decode("cp1252")
        except UnicodeDecodeError:
            text = value.decode("latin-1")
        return tag + Header(text, "utf-8", header_name="Subject").encode(linesep="\n")


def _folded(text: str) -> str:
    """Cut, and fold at blanks (RFC 5322 2.2.3)."""
    return "\n\t".join(textwrap.wrap(text[:MAX_STATUS], 70, break_long_words=False))
