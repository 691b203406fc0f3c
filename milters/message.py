"""One message on its way through the milter. No libmilter here: plain calls, plain answers.

The header fields that matter are kept; `attachment_check` measures the body, `spam_check` keeps
what spamd is to get.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from config.daemon.events import event
from milters import dsn, subject
from milters.attachment_check import AttachmentCheck
from milters.attachments import AttachmentLimit, Measured
from milters.dependencies import Dependencies
from milters.envelope import Envelope, unquoted
from milters.mime.part import WANTED
from milters.postman import NotSent
from milters.spam_check import SpamCheck
from milters.verdict import FORGED, NO_NOTICE, TOO_BIG, Accept, Refuse, Verdict

log = logging.getLogger("milter")
# These describe the body. A field that comes twice is doubtful; more of them add nothing.
CONTENT = frozenset(name.decode() for name in WANTED)
MAX_CONTENT = 4 * len(CONTENT)


class Message:
    """Tell it what libmilter reports, in order; then ask for the verdict."""

    def __init__(self, envelope: Envelope, dependencies: Dependencies) -> None:
        self.envelope = envelope
        self.recipients: dict[str, str] = {}  # as the client wrote it: the address it means
        self._dependencies = dependencies
        self._spam = SpamCheck(envelope, dependencies)
        self._attachments: AttachmentCheck | None = None  # once the header has ended
        self._content: list[bytes] = []  # header lines that describe the body
        self._header_for_notice = bytearray()
        self._header_size = len(b"\r\n")  # on the wire
        self._body_size = 0  # on the wire
        self._is_cut = False  # no more of the body was asked for

    def recipient(self, written: str, *, meant: str = "") -> None:
        """Take one more recipient, and the address that Postfix says is *meant*.

        ``<"anna"@site>`` and ``<@relay:anna@site>`` are Anna; only Postfix can read everything
        that its configuration lets through.
        """
        self.recipients[written] = unquoted(meant or written)

    def header(self, name: str, value: bytes) -> None:
        """Take one more header field; folds in *value* are LF and a blank."""
        key = name.lower()
        line = b"%b: %b" % (name.encode(), value)
        line = line.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n"
        self._header_size += len(line)
        if key in CONTENT and len(self._content) < MAX_CONTENT:
            self._content.append(line)
        self._spam.header(name, value, line)
        shown = self._header_for_notice
        if key in dsn.SHOWN and len(shown) < dsn.MAX_HEADER and self.envelope.user:
            shown += line

    def body(self, piece: bytes) -> bool:
        """Take a piece of the body; return whether more of it is needed."""
        check = self._attachment_check()
        self._body_size += len(piece)
        check.body(piece)
        self._spam.body(piece)
        is_needed = check.needs_body or self._spam.room > 0
        self._is_cut = check.is_settled or not is_needed
        return not self._is_cut

    def verdict(self, queue_id: str = "") -> Verdict:
        """Return the verdict. Asks spamd, so it may take long."""
        check = self._attachment_check()
        if self._spam.is_forged:
            return FORGED
        over = check.over()
        if not over:
            return self._spam.verdict(queue_id, self._charset())
        refusal = Refuse(*TOO_BIG, check.refusal(over))
        if not check.may_leave_out(over):
            return refusal
        verdict = self._spam.verdict(queue_id, self._charset())
        if isinstance(verdict, Refuse):
            return verdict
        # Last, when nothing else can refuse: the notice must be sent exactly once.
        return self._leave_out(check, over, verdict, refusal, queue_id)

    def close(self) -> None:
        """Free what the message holds."""
        self._spam.close()

    @property
    def measured(self) -> Measured:
        """The size that counts against the limits."""
        return self._attachment_check().measured

    @property
    def wire_size(self) -> str:
        """The size of the whole mail; ``+`` where the rest of it was not read."""
        read = self._header_size + self._body_size
        if not self._is_cut:
            return str(read)
        declared = self.envelope.declared or 0
        return str(declared) if declared >= read else f"{read}+"

    @property
    def counted_size(self) -> str | None:
        """The size that counted against limits; ``None`` where none applied."""
        return None if self._attachments is None else self._attachments.counted_size

    def _attachment_check(self) -> AttachmentCheck:
        if self._attachments is None:
            self._attachments = AttachmentCheck(
                self.envelope,
                self.recipients,
                self._dependencies,
                content=b"".join(self._content),
                header_size=self._header_size,
            )
        return self._attachments

    def _charset(self) -> str:
        names = (line.partition(b":") for line in self._content)
        kind = next((value for name, _, value in names if name.lower() == b"content-type"), b"")
        return subject.charset_of(kind)

    def _leave_out(
        self,
        check: AttachmentCheck,
        over: Sequence[AttachmentLimit],
        verdict: Accept,
        refusal: Refuse,
        queue_id: str,
    ) -> Verdict:
        """Send the notice; return *verdict* without the recipients whose limits are exceeded."""
        site = self._dependencies.settings.site
        user = self.envelope.user
        to = user if "@" in user else f"{user}@{site.domains[0]}"
        failed = dsn.FailedRecipients(
            check.once_per_account(over),
            refusal.line(),
            bytes(self._header_for_notice),
            queue_id,
            self.envelope.date,
            self.envelope.mta or site.domains[0],
        )
        try:
            self._dependencies.notify(dsn.build(failed, to=to, postmaster=site.postmaster), to)
        except NotSent as error:
            log.error(event("dsn-failed", queue_id, to=to, reason=error))  # noqa: TRY400 - no bug
            return refusal if error.is_permanent else NO_NOTICE
        log.info(event("dsn-sent", queue_id, to=to))
        return replace(verdict, dropped=check.names_of({limit.address for limit in over}))
