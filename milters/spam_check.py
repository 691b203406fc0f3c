"""The spam check of one message: what spamd gets, and the edits its report leads to (R10).

Kept for spamd: the header, and the first ``spam.scan`` bytes of the body, on disk if large.
"""

import logging

from config.daemon.events import event
from config.units import Bytes
from milters import spam, subject
from milters.dependencies import Dependencies
from milters.envelope import Envelope
from milters.spam import Edit, Field
from milters.spamd import SpamdUnavailable
from milters.spool import BodySpool
from milters.verdict import MANY_SUBJECTS, NO_SPAMD, Accept, Verdict

log = logging.getLogger("milter")
# Header bytes kept for spamd: Postfix cuts a field at 102,400 bytes
# (header_size_limit) but does not limit their number.
MAX_HEADER = 1 << 20
# X-Spam-* fields that a message from outside may have: filters on its way add some ten. For
# each one removed Postfix walks the whole header, so 40,000 took it 97 s.
MAX_VERDICTS = 100
# RFC 5322 3.6 has one; each is tagged, since mail programs differ in which they show.
MAX_SUBJECTS = 100


class SpamCheck:
    """Fed the header and the body, then asked for the verdict."""

    def __init__(self, envelope: Envelope, dependencies: Dependencies) -> None:
        self._envelope = envelope
        self._dependencies = dependencies
        self._scan = dependencies.scan if self._is_scanned() else None
        self._subjects: list[Field] = []
        self._is_signed = False
        self._foreign_verdicts: list[Field] = []  # X-Spam-* fields as they came in
        self._header = bytearray()
        self._spool = BodySpool()

    def header(self, name: str, value: bytes, line: bytes) -> None:
        """Take one more header field, and its *line* on the wire."""
        key = name.lower()
        if key == "subject" and len(self._subjects) <= MAX_SUBJECTS:
            self._subjects.append(Field(name, value))
        elif key in spam.SIGNATURES:
            self._is_signed = True
        elif key == "message-id" and self._dependencies.is_notice(value):
            self._scan = None
        elif key.startswith("x-spam-") and len(self._foreign_verdicts) <= MAX_VERDICTS:
            self._foreign_verdicts.append(Field(name, value))
        if self._scan is not None and len(self._header) < MAX_HEADER:
            self._header += line

    def body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if (room := self.room) > 0:
            self._spool.add(piece[:room])

    @property
    def room(self) -> Bytes:
        """How much more of the body spamd is to get."""
        if self._scan is None:
            return 0
        return self._dependencies.settings.spam.scan - self._spool.size

    @property
    def is_forged(self) -> bool:
        """Whether there are more X-Spam-* fields from outside than could be removed in time."""
        return len(self._foreign_verdicts) > MAX_VERDICTS and not self._keeps_own_spam_headers()

    def verdict(self, queue_id: str, charset: str) -> Verdict:
        """Ask spamd, which may take long; return the edits that follow.

        *charset* is the one the message declares.
        """
        edits: list[Edit] = []
        if not self._keeps_own_spam_headers():
            edits = spam.removals(self._foreign_verdicts)
        if self._scan is None:
            return Accept(tuple(edits))
        try:
            report = self._scan(self._for_spamd)
        except SpamdUnavailable as error:
            log.warning(event("spamd-unavailable", queue_id, reason=error))
            if self._dependencies.settings.spam.on_spamd_loss == "tempfail":
                return NO_SPAMD
            return Accept((*edits, *spam.unscanned(f"spamd {error}")))
        edits += spam.verdict(report)
        if report.is_spam and not self._is_signed_by_us():
            if len(self._subjects) > MAX_SUBJECTS:
                return MANY_SUBJECTS
            values = [field.value for field in self._subjects]
            tag = self._dependencies.settings.spam.subject_tag
            edits += subject.tagged(values, tag, charset)
        return Accept(tuple(edits))

    def close(self) -> None:
        """Free the spooled body."""
        self._spool.close()

    def _is_scanned(self) -> bool:
        if self._envelope.trusted:
            return False
        return self._dependencies.settings.spam.scan_authenticated or not self._envelope.user

    def _keeps_own_spam_headers(self) -> bool:
        """Return whether the X-Spam-* fields that came with the message may stay."""
        return self._envelope.trusted or (self._scan is None and bool(self._envelope.user))

    def _is_signed_by_us(self) -> bool:
        """Return whether a tag would break a signature that vouches for the site's own mail.

        Only where the client signed in: anybody outside may write a signature. Not for campus
        computers, among which are gateways that forward mail signed elsewhere.
        """
        return self._is_signed and bool(self._envelope.user)

    def _for_spamd(self) -> bytes:
        envelope = self._envelope
        trace = spam.trace(
            spam.Client(envelope.client, envelope.client_name, envelope.helo),
            envelope.sender,
            authenticated=bool(envelope.user),
            date=envelope.date,
        )
        return b"".join((trace, self._header, b"\r\n", self._spool.read()))
