"""One message on its way through the milter. No libmilter here: plain calls, plain answers.

Kept: the envelope, the header fields that matter, and the first ``spam.scan`` bytes
for spamd, large ones on disk. The body itself only passes through the scanner.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from config import wire
from config.daemon.logs import fields
from config.settings import Settings
from milters import attachments, dsn, spam, subject
from milters.attachments import Limit, Measure, Measured
from milters.envelope import Envelope, can_be_taken_off, unquoted
from milters.mime.part import WANTED
from milters.mime.scan import Scanner
from milters.postman import NotSent
from milters.spam import Edit, Field, Report
from milters.spamd import SpamdUnavailable
from milters.spool import BodySpool
from milters.verdict import (
    FORGED,
    MANY_SUBJECTS,
    NO_NOTICE,
    NO_SPAMD,
    TOO_BIG,
    Accept,
    Refuse,
    Verdict,
)

log = logging.getLogger("milter")
# Header bytes kept for spamd: Postfix cuts a field at 102,400 bytes
# (header_size_limit) but does not limit their number.
MAX_HEADER = 1 << 20
# A mail that ends within libmilter's first piece of body is no bigger than any sensible limit.
MAX_UNSCANNED = 64 << 10
# X-Spam-* fields a stranger's message may have: filters on its way add some ten. For
# each that we remove Postfix walks the whole header, so 40,000 took it 97 s.
MAX_VERDICTS = 100
# RFC 5322 3.6 has one; each is tagged, since mail programs differ in which they show.
MAX_SUBJECTS = 100
# These say what the body is. A field that comes twice is doubtful; more say no more.
CONTENT = frozenset(name.decode() for name in WANTED)
MAX_CONTENT = 4 * len(CONTENT)

# Gives the verdict on the message that a function reads, once there is room for it.
Scan = Callable[[Callable[[], bytes]], Report]
# Hands a notice (its bytes, its recipient) to Postfix; raises `NotSent`.
Notify = Callable[[bytes, str], None]


class Limits(Protocol):
    """Who knows what an address may have."""

    def of(self, address: str) -> int | None:
        """Return the limit in bytes; ``None`` for an address that has none."""

    def owner(self, address: str) -> str:
        """Return one name for all addresses of a person."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a message needs of the world; ``scan`` is ``None`` where no spamd is used."""

    settings: Settings
    limits: Limits
    scan: Scan | None
    notify: Notify
    # Whether a Message-ID is that of a notice of ours, on its way through Postfix.
    is_notice: Callable[[bytes], bool] = lambda _: False


class Message:
    """Tell it what libmilter reports, in order; then ask for the verdict."""

    def __init__(self, envelope: Envelope, tools: Dependencies) -> None:
        self.envelope = envelope
        self.recipients: dict[str, str] = {}  # as the client wrote it: the address it means
        self._tools = tools
        self._subjects: list[Field] = []
        self._is_signed = False
        self._verdicts: list[Field] = []  # X-Spam-*, as somebody before us says
        self._limits: list[Limit] = []
        self._measure: Measure | None = None  # known once the header has ended
        self._scanner: Scanner | None = None
        self._unscanned: list[bytes] = []
        self._settled = False  # nothing that comes can change the verdict
        self._is_cut = False  # no more of the body was asked for
        self._content: list[bytes] = []  # header lines that say what the body is
        self._head = len(b"\r\n")  # bytes of the header on the wire
        self._size = 0  # of the body on the wire
        self._scan = tools.scan if self._is_judged() else None
        self._header = bytearray()  # for spamd
        self._shown = bytearray()  # of the header, for a notice
        self._start = BodySpool()  # of the body, for spamd

    def recipient(self, written: str, *, meant: str = "") -> None:
        """Take one more recipient, and the address that Postfix says is *meant*.

        ``<"anna"@ours>`` and ``<@relay:anna@ours>`` are Anna; only Postfix reads all
        that its configuration lets through.
        """
        self.recipients[written] = unquoted(meant or written)

    def header(self, name: str, value: bytes) -> None:
        """Take one more header field; folds in *value* are LF and a blank."""
        key = name.lower()
        line = b"%b: %b" % (name.encode(), value)
        line = line.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n"
        self._head += len(line)
        if key == "subject" and len(self._subjects) <= MAX_SUBJECTS:
            self._subjects.append(Field(name, value))
        elif key in spam.SIGNATURES:
            self._is_signed = True
        elif key in CONTENT and len(self._content) < MAX_CONTENT:
            self._content.append(line)
        elif key == "message-id" and self._tools.is_notice(value):
            self._scan = None
        elif key.startswith("x-spam-") and len(self._verdicts) <= MAX_VERDICTS:
            self._verdicts.append(Field(name, value))
        if self._scan is not None and len(self._header) < MAX_HEADER:
            self._header += line
        if key in dsn.SHOWN and len(self._shown) < dsn.MAX_HEADER and self.envelope.user:
            self._shown += line

    def body(self, piece: bytes) -> bool:
        """Take a piece of the body; return whether more of it is needed."""
        if self._measure is None:
            self._end_of_header()
        self._size += len(piece)
        if self._measure is Measure.CONTENT:
            self._scan_attachments(piece)
        elif self._measure is Measure.LENGTH:
            self._settled = attachments.settled(self._limits, self._size)
        if (room := self._room()) > 0:
            self._start.add(piece[:room])
        wanted = self._measure is not Measure.NOTHING or self._room() > 0
        self._is_cut = self._settled or not wanted
        return not self._is_cut

    def verdict(self, queue_id: str = "") -> Verdict:
        """Return what becomes of the message. Asks spamd, so it may take its time."""
        if self._measure is None:
            self._end_of_header()
        if len(self._verdicts) > MAX_VERDICTS and not self._is_believed():
            return FORGED
        if self._scanner is not None and not self._settled:
            self._scanner.close()
        over = attachments.over(self._limits, self.measured.size)
        if not over:
            return self._spam(queue_id)
        advice = self._tools.settings.attachments.advice
        named = self._once(over)
        refusal = Refuse(*TOO_BIG, attachments.refusal(named, self.measured, advice))
        if not self._may_leave_out(over):
            return refusal
        verdict = self._spam(queue_id)
        if isinstance(verdict, Refuse):
            return verdict
        # Last, when nothing else can refuse: who was left out must be told, once.
        return self._leave_out(over, verdict, refusal, queue_id)

    def close(self) -> None:
        """Free what the message holds."""
        self._start.close()

    @property
    def measured(self) -> Measured:
        """Return the size that counts against the limits.

        The declared size counts as if it had come, as it does for policyd at RCPT.
        """
        if self._scanner is None:  # all of the body may be files, and a header has its allowance
            size = self._size + max(0, self._head - wire.ALLOWANCE)
        else:
            size = self._scanner.total
        size = max(size, wire.least(self.envelope.declared or 0))
        return Measured(size, exact=not self._settled)

    @property
    def wire_size(self) -> str:
        """Return the size of the whole mail; ``+`` where nobody asked for the rest of it."""
        seen = self._head + self._size
        if not self._is_cut:
            return str(seen)
        declared = self.envelope.declared or 0
        return str(declared) if declared >= seen else f"{seen}+"

    @property
    def counted_size(self) -> str | None:
        """Return what counted against limits; ``None`` where there was none to keep."""
        if not self._limits:
            return None
        return f"{self.measured.size}{'' if self.measured.exact else '+'}"

    # --- attachments ---

    def _end_of_header(self) -> None:
        self._limits = list(self._applicable())
        self._measure = attachments.measure(self._limits, declared=self.envelope.declared)

    def _scan_attachments(self, piece: bytes) -> None:
        """Measure *piece*; what is no longer than every limit need not be (most mail is not)."""
        if self._scanner is None:
            self._unscanned.append(piece)
            if self._size <= min(MAX_UNSCANNED, *(limit.size for limit in self._limits)):
                return
            content = b"".join(self._content) + b"\r\n"
            self._scanner = Scanner(unseen=self._head - len(content))
            piece = content + b"".join(self._unscanned)
            self._unscanned.clear()
        self._scanner.feed(piece)
        self._settled = attachments.settled(self._limits, self._scanner.total)

    def _applicable(self) -> Iterator[Limit]:
        applies = self._tools.settings.attachments.applies_to
        if applies in ("recipient", "both"):
            for address in self.recipients.values():
                if (size := self._tools.limits.of(address)) is not None:
                    yield Limit(address, size)
        user = self.envelope.user if applies in ("sender", "both") else ""
        if user and (size := self._tools.limits.of(user)) is not None:
            yield Limit(user, size, is_recipient=False)

    def _may_leave_out(self, over: Sequence[Limit]) -> bool:
        """Return whether the message may go to the others: who signed in can be told."""
        left_out = {limit.address for limit in over}
        return (
            self._tools.settings.attachments.mixed == "deliver"
            and bool(self.envelope.user)
            and all(limit.is_recipient for limit in over)
            and not left_out.issuperset(self.recipients.values())
            and all(map(can_be_taken_off, self._names(left_out)))
        )

    def _names(self, left_out: Collection[str]) -> tuple[str, ...]:
        """Return what Postfix may know *left_out* by.

        It finds a quoted one as written, and one with a route without it.
        """
        names = (
            name
            for written, meant in self.recipients.items()
            if meant in left_out
            for name in (written, f"<{meant}>")
        )
        return tuple(dict.fromkeys(names))

    def _once(self, over: Sequence[Limit]) -> tuple[Limit, ...]:
        """Return *over* with each person once, however many of their addresses were used."""
        people: dict[str, Limit] = {}
        for limit in over:
            people.setdefault(self._tools.limits.owner(limit.address), limit)
        return tuple(people.values())

    def _leave_out(
        self, over: Sequence[Limit], verdict: Accept, refusal: Refuse, queue_id: str
    ) -> Verdict:
        site = self._tools.settings.site
        user = self.envelope.user
        to = user if "@" in user else f"{user}@{site.domains[0]}"
        date, mta = self.envelope.date, self.envelope.mta or site.domains[0]
        shown = bytes(self._shown)
        refused = dsn.FailedRecipients(self._once(over), refusal.line(), shown, queue_id, date, mta)
        try:
            self._tools.notify(dsn.build(refused, to=to, postmaster=site.postmaster), to)
        except NotSent as error:
            log.error(fields(id=queue_id, event="notice-not-sent", to=to, error=error))  # noqa: TRY400
            return refusal if error.is_permanent else NO_NOTICE
        log.info(fields(id=queue_id, event="notice", to=to))
        return replace(verdict, dropped=self._names({limit.address for limit in over}))

    # --- spam ---

    def _is_judged(self) -> bool:
        rules = self._tools.settings.spam
        if self.envelope.trusted:
            return False
        return rules.scan_authenticated or not self.envelope.user

    def _is_believed(self) -> bool:
        """Return whether what the message says about itself may stay."""
        return self.envelope.trusted or (self._scan is None and bool(self.envelope.user))

    def _room(self) -> int:
        """Return how many bytes of the body spamd should still get."""
        return 0 if self._scan is None else self._tools.settings.spam.scan - self._start.size

    def _spam(self, queue_id: str) -> Verdict:
        """Ask spamd and return the edits it takes."""
        edits: list[Edit] = [] if self._is_believed() else spam.removals(self._verdicts)
        if self._scan is None:
            return Accept(tuple(edits))
        try:
            report = self._scan(self._for_spamd)
        except SpamdUnavailable as error:
            log.warning(fields(id=queue_id, event="no-verdict", spamd=error))
            if self._tools.settings.spam.on_spamd_loss == "tempfail":
                return NO_SPAMD
            return Accept((*edits, *spam.unscanned(f"spamd {error}")))
        edits += spam.verdict(report)
        if report.is_spam and not self._is_signed_by_us():
            if len(self._subjects) > MAX_SUBJECTS:
                return MANY_SUBJECTS
            edits += self._tags()
        return Accept(tuple(edits))

    def _is_signed_by_us(self) -> bool:
        """Return whether a tag would break a signature that vouches for our own mail.

        Only where the client signed in: a stranger may write any signature. Nor for campus
        computers, among which are gateways that hand on what strangers signed.
        """
        return self._is_signed and bool(self.envelope.user)

    def _tags(self) -> list[Edit]:
        fields_of = (line.partition(b":") for line in self._content)
        kind = next((value for name, _, value in fields_of if name.lower() == b"content-type"), b"")
        charset = subject.charset_of(kind)
        values = [field.value for field in self._subjects]
        return subject.tagged(values, self._tools.settings.spam.subject_tag, charset)

    def _for_spamd(self) -> bytes:
        envelope = self.envelope
        trace = spam.trace(
            spam.Client(envelope.client, envelope.client_name, envelope.helo),
            envelope.sender,
            authenticated=bool(envelope.user),
            date=envelope.date,
        )
        return b"".join((trace, self._header, b"\r\n", self._start.read()))
