"""One message on its way through the milter. No libmilter here: plain calls, plain answers.

Kept in memory: the envelope, the header fields that matter, and at most the first
``spam.scan`` bytes for spamd. The body itself only passes through the scanner.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from config.settings import Settings
from milters import attachments, spam
from milters.attachments import Limit, Measure, Measured
from milters.mime_part import WANTED
from milters.mime_scan import Scanner
from milters.spam import Edit, Field, Report
from milters.spamd import SpamdUnavailable
from milters.verdict import NO_SPAMD, TOO_BIG, Accept, Refuse, Verdict

# Header bytes kept for spamd: Postfix cuts a field at 102,400 bytes
# (header_size_limit) but does not limit their number.
MAX_HEADER = 1 << 20

Scan = Callable[[bytes], Report]


class Limits(Protocol):
    """Who knows what an address may have."""

    def of(self, address: str) -> int | None:
        """Return the limit in bytes; ``None`` for an address that has none."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """How the message was submitted."""

    client: str  # address
    client_name: str
    sender: str
    user: str  # who authenticated; empty for a stranger
    declared: int | None  # SIZE= of MAIL (RFC 1870)
    date: str  # RFC 5322 3.3, when it came


@dataclass(frozen=True, slots=True)
class Tools:
    """What a message needs of the world; ``scan`` is ``None`` where no spamd is used."""

    settings: Settings
    limits: Limits
    scan: Scan | None


class Message:
    """Tell it what libmilter reports, in order; then ask for the verdict."""

    def __init__(self, envelope: Envelope, tools: Tools) -> None:
        self.envelope = envelope
        self.recipients: list[str] = []
        self._tools = tools
        self._fields: list[Field] = []  # Subject, X-Spam-*, Content-*
        self._limits: list[Limit] = []
        self._measure: Measure | None = None  # known once the header has ended
        self._scanner: Scanner | None = None
        self._settled = False  # nothing that comes can change the verdict
        self._size = 0  # of the body on the wire
        self._header = bytearray()  # for spamd
        self._start = bytearray()  # of the body, for spamd

    def recipient(self, address: str) -> None:
        """Take one more recipient that Postfix accepted."""
        self.recipients.append(address)

    def header(self, name: str, value: bytes) -> None:
        """Take one more header field; folds in *value* are LF and a blank."""
        key = name.lower()
        if key == "subject" or key.startswith("x-spam-") or key.encode() in WANTED:
            self._fields.append(Field(name, value))
        if self._tools.scan is not None and len(self._header) < MAX_HEADER:
            line = b"%b: %b" % (name.encode(), value)
            self._header += line.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n"

    def body(self, piece: bytes) -> bool:
        """Take a piece of the body; return whether more of it is needed."""
        if self._measure is None:
            self._end_of_header()
        self._size += len(piece)
        if self._scanner is not None:
            self._scanner.feed(piece)
            self._settled = attachments.settled(self._limits, self._scanner.total)
        if (room := self._room()) > 0:
            self._start += piece[:room]
        if self._settled:
            return False
        return self._measure is not Measure.NOTHING or self._room() > 0

    def verdict(self) -> Verdict:
        """Return what becomes of the message. Asks spamd, so it may take its time."""
        if self._measure is None:
            self._end_of_header()
        if self._scanner is not None and not self._settled:
            self._scanner.close()
        return self._too_big() or self._spam()

    @property
    def measured(self) -> Measured:
        """Return the size that counts against the limits."""
        if self._scanner is None:
            return Measured(self._size)
        return Measured(self._scanner.total, exact=not self._settled)

    # --- attachments ---

    def _end_of_header(self) -> None:
        self._limits = list(self._applicable())
        self._measure = attachments.measure(self._limits, declared=self.envelope.declared)
        if self._measure is Measure.CONTENT:
            self._scanner = Scanner()
            for each in self._fields:
                if each.name.lower().encode() in WANTED:
                    self._scanner.feed(b"%b: %b\r\n" % (each.name.encode(), each.value))
            self._scanner.feed(b"\r\n")

    def _applicable(self) -> Iterator[Limit]:
        applies = self._tools.settings.attachments.applies_to
        addresses = [*self.recipients] if applies in ("recipient", "both") else []
        if applies in ("sender", "both") and self.envelope.user:
            addresses.append(self.envelope.user)
        for address in addresses:
            size = self._tools.limits.of(address)
            if size is not None:
                yield Limit(address.strip("<>"), size)

    def _too_big(self) -> Refuse | None:
        measured = self.measured
        judged = attachments.judge(self._limits, measured.size, recipients=len(self.recipients))
        if not judged.over:
            return None
        advice = self._tools.settings.attachments.advice
        return Refuse(*TOO_BIG, attachments.refusal(judged.over, measured, advice))

    # --- spam ---

    def _room(self) -> int:
        """Return how many bytes of the body spamd should still get."""
        if self._tools.scan is None:
            return 0
        return self._tools.settings.spam.scan - len(self._start)

    def _spam(self) -> Verdict:
        edits: list[Edit] = [] if self.envelope.user else spam.removals(self._fields)
        if self._tools.scan is None:
            return Accept(tuple(edits))
        received = spam.received(
            self.envelope.client_name,
            self.envelope.client,
            authenticated=bool(self.envelope.user),
            date=self.envelope.date,
        )
        try:
            report = self._tools.scan(b"".join((received, self._header, b"\r\n", self._start)))
        except SpamdUnavailable as error:
            if self._tools.settings.spam.on_spamd_loss == "tempfail":
                return NO_SPAMD
            return Accept((*edits, *spam.unscanned(f"spamd {error}")))
        edits += spam.verdict(report)
        if report.is_spam:
            edits += spam.tagged(self._fields, self._tools.settings.spam.subject_tag)
        return Accept(tuple(edits))
