"""The trace for spamd, and the header edits for its verdict (R10). Pure: fields in, edits out.

A forged verdict never survives: ``X-Spam-*`` fields from outside are removed before the
milter's own are added.
"""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

# A signature of the header: a changed Subject breaks it (RFC 6376, RFC 8617, RFC 4870).
SIGNATURES = frozenset(
    {"dkim-signature", "arc-seal", "arc-message-signature", "domainkey-signature"}
)
MAX_STATUS = 900  # bytes of X-Spam-Status; SpamAssassin knows 1,500 rule names
MAX_NAME = 255  # characters of a HELO or host name (RFC 1035 2.3.4)
_NO_WORD = re.compile(r"[^!#-'*-:=?A-Z\[\]^-~]")  # as Postfix's NEUTER_CHARACTERS
_BRACKETS = re.compile(r"^<|>$")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_PLAIN_SENDER = re.compile(r"[!#-'*+\-/-9=?A-Z^-~.]+@[A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Field:
    """One header field as it came in; folds are LF and a blank."""

    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Client:
    """The sending host: its address, its name in DNS, and its HELO name."""

    address: str
    name: str
    helo: str


@dataclass(frozen=True, slots=True)
class Report:
    """The result of spamd."""

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


def trace(client: Client, sender: str, *, authenticated: bool, date: str) -> bytes:
    """Return the lines that Postfix will add on top, which a milter does not see.

    SpamAssassin's network tests, SPF and its trust in authenticated senders (ESMTPA,
    RFC 3848) need them. A sender that fits no comment, as the null one, stands in
    X-Envelope-From alone, which SpamAssassin believes above the first Received only.
    """
    address = _BRACKETS.sub("", sender)
    protocol = "ESMTPA" if authenticated else "ESMTP"
    name = _word(client.name) or "unknown"
    comment = f" (envelope-from <{address}>)" if _PLAIN_SENDER.fullmatch(address) else ""
    lines = (
        f"X-Envelope-From: <{_CONTROLS.sub('?', address)}>\r\n"
        f"Received: from {_word(client.helo) or name} ({name} [{client.address}])\r\n"
        f"\tby gatepost with {protocol}{comment};\r\n\t{date}\r\n"
    )
    return lines.encode("utf-8", "surrogateescape")


def _word(text: str) -> str:
    """Return *text* without characters that end an atom of a Received field, as Postfix does."""
    return _NO_WORD.sub("?", text[:MAX_NAME])


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
    """Return the edit that states why there is no verdict."""
    return [Edit("X-Spam-Status", 0, f"Unknown, {reason}")]


def _folded(text: str) -> str:
    """Cut, and fold at blanks (RFC 5322 2.2.3)."""
    return "\n\t".join(textwrap.wrap(text[:MAX_STATUS], 70, break_long_words=False))
