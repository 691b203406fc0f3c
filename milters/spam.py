"""What a spam verdict does to a header (R10). Pure: fields in, edits out.

The tag goes before the subject's own bytes, which stay as they are: encoded words
are not decoded. Only words with bytes that are no UTF-8 must be encoded (RFC 2047),
because libmilter's Python binding carries text. A forged verdict never survives:
``X-Spam-*`` fields of strangers are removed before ours are added.
"""

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import Header, decode_header

# What is decoded to look for a tag in disguise; a subject line has 998 bytes.
MAX_DECODED = 2048
MAX_STATUS = 900  # bytes of X-Spam-Status; SpamAssassin knows 1,500 rule names
_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[BbQq]\?[^?\s]*\?=")
# Words beside each other that have bytes beyond ASCII.
_8BIT = re.compile(rb"[^\s]*[\x80-\xff][^\s]*(?:\s+[^\s]*[\x80-\xff][^\s]*)*")
_ASCII = b"=?a B?="
_CHARSET = re.compile(rb"charset\s*=\s*\"?([\w.:+-]+)", re.IGNORECASE)


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
    first: dict[str, bytes] = {}
    for field in fields:
        first.setdefault(field.name.lower(), field.value)
    subject = first.get("subject")
    if subject is None:
        return [Edit("Subject", 0, tag.rstrip())]
    if has_tag(subject, tag):
        return []
    charset = _CHARSET.search(first.get("content-type", b""))
    text = _carried(subject, charset[1].decode("ascii", "replace") if charset else "")
    return [Edit("Subject", 1, tag + text)]


def has_tag(value: bytes, tag: str) -> bool:
    """Return whether a subject starts with *tag*, be it inside encoded words."""
    wanted = _squeezed(tag)
    text = value[:MAX_DECODED].decode("utf-8", "replace")
    # "punycode" is a charset to Python and to no mail program, which shows the bytes.
    readings = (text, *(_decoded(text, strange=strange) for strange in (True, False)))
    return any(_squeezed(reading).startswith(wanted) for reading in readings)


def _decoded(text: str, *, strange: bool) -> str:
    """Return *text* with its encoded words decoded; those of a *strange* charset, too."""
    try:
        words = decode_header(text)
    except (HeaderParseError, ValueError):
        # One is broken, and hides nothing but itself.
        words = [word for each in _split(text) for word in _decoded_word(each)]
    return "".join(_plain(word, charset if strange else None) for word, charset in words)


def _split(text: str) -> list[str]:
    """Return the encoded words of *text* and what is between them."""
    bounds = [at for found in _ENCODED_WORD.finditer(text) for at in found.span()]
    return [text[a:b] for a, b in zip([0, *bounds], [*bounds, len(text)], strict=True)]


def _decoded_word(text: str) -> list[tuple[bytes | str, str | None]]:
    try:
        return list(decode_header(text))
    except (HeaderParseError, ValueError):
        return [(text, None)]


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


def _carried(value: bytes, charset: str) -> str:
    """Return *value* as text that libmilter's binding can carry; *charset* is the message's."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        charset = next(each for each in (charset, "cp1252", "latin-1") if _can_read(each, value))
        return _8BIT.sub(lambda run: _encoded(run, charset), value).decode("ascii")


def _can_read(charset: str, value: bytes) -> bool:
    """Return whether *value* can be text in *charset*, which must contain ASCII as it is."""
    try:
        value.decode(charset).encode("utf-8")
        return _ASCII.decode(charset) == _ASCII.decode("ascii")
    except (LookupError, ValueError):
        return False


def _encoded(run: re.Match[bytes], charset: str) -> bytes:
    """Return the words of *run* as encoded ones (RFC 2047)."""
    text = run[0].decode(charset, "replace")
    # Blanks between encoded words are not shown, so one that is meant goes inside.
    if run.string[: run.start()].rstrip().endswith(b"?="):
        text = f" {text}"
    if run.string[run.end() :].lstrip().startswith(b"=?"):
        text = f"{text} "
    return Header(text, "utf-8").encode(linesep="\n").encode("ascii")


def _folded(text: str) -> str:
    """Cut, and fold at blanks (RFC 5322 2.2.3)."""
    return "\n\t".join(textwrap.wrap(text[:MAX_STATUS], 70, break_long_words=False))
