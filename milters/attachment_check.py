"""Attachments of one message against the limits of its recipients and its sender (R9).

The body passes through the scanner; nothing of it is kept but the first piece.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from config import wire
from config.units import Bytes
from milters import attachments
from milters.attachments import AttachmentLimit, Measure, Measured
from milters.dependencies import Dependencies
from milters.envelope import Envelope, can_be_taken_off
from milters.mime.scan import Scanner

# A mail that ends within libmilter's first piece of body is no bigger than any sensible limit.
MAX_UNSCANNED = 64 << 10


class AttachmentCheck:
    """Made once the header has ended; fed the body; then asked which limits are exceeded."""

    def __init__(
        self,
        envelope: Envelope,
        recipients: Mapping[str, str],
        dependencies: Dependencies,
        *,
        content: bytes,
        header_size: Bytes,
    ) -> None:
        """*recipients* are as in `Message`, *content* the header lines that describe the body."""
        self._envelope = envelope
        self._recipients = recipients
        self._dependencies = dependencies
        self._content = content + b"\r\n"
        self._header_size = header_size
        self._body_size = 0
        self._limits = tuple(self._applicable())
        self._measure = attachments.measure(self._limits, declared=envelope.declared)
        self._scanner: Scanner | None = None
        self._unscanned: list[bytes] = []
        self.is_settled = False  # no further byte can change the result

    @property
    def needs_body(self) -> bool:
        """Whether the result depends on the body."""
        return self._measure is not Measure.NOTHING

    def body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._body_size += len(piece)
        if self._measure is Measure.CONTENT:
            self._scan(piece)
        elif self._measure is Measure.LENGTH:
            self.is_settled = attachments.settled(self._limits, self._body_size)

    def over(self) -> tuple[AttachmentLimit, ...]:
        """End the body; return the limits that the message exceeds."""
        if self._scanner is not None and not self.is_settled:
            self._scanner.close()
        return attachments.over(self._limits, self.measured.size)

    @property
    def measured(self) -> Measured:
        """The size that counts against the limits.

        The declared size counts as if it had come, as it does for policyd at RCPT.
        """
        if self._scanner is None:  # all of the body may be files, and a header has its allowance
            size = self._body_size + max(0, self._header_size - wire.ALLOWANCE)
        else:
            size = self._scanner.total
        size = max(size, wire.least(self._envelope.declared or 0))
        return Measured(size, exact=not self.is_settled)

    @property
    def counted_size(self) -> str | None:
        """The counted size for the log, ``+`` where it may be more; ``None`` without a limit."""
        if not self._limits:
            return None
        return f"{self.measured.size}{'' if self.measured.exact else '+'}"

    def refusal(self, over: Sequence[AttachmentLimit]) -> str:
        """Return the text of the 552."""
        advice = self._dependencies.settings.attachments.advice
        return attachments.refusal(self.once_per_account(over), self.measured, advice)

    def may_leave_out(self, over: Sequence[AttachmentLimit]) -> bool:
        """Return whether the message may go to the other recipients.

        Only if the client signed in, so that a notice reaches whoever sent the message.
        """
        left_out = {limit.address for limit in over}
        return (
            self._dependencies.settings.attachments.mixed == "deliver"
            and bool(self._envelope.user)
            and all(limit.is_recipient for limit in over)
            and not left_out.issuperset(self._recipients.values())
            and all(map(can_be_taken_off, self.names_of(left_out)))
        )

    def names_of(self, left_out: Collection[str]) -> tuple[str, ...]:
        """Return the names under which Postfix may know *left_out*.

        It finds a quoted address as written, and one with a route without the route.
        """
        names = (
            name
            for written, meant in self._recipients.items()
            if meant in left_out
            for name in (written, f"<{meant}>")
        )
        return tuple(dict.fromkeys(names))

    def once_per_account(self, over: Sequence[AttachmentLimit]) -> tuple[AttachmentLimit, ...]:
        """Return *over* with each account once, however many of its addresses were used."""
        by_account: dict[str, AttachmentLimit] = {}
        for limit in over:
            by_account.setdefault(self._dependencies.limits.owner(limit.address), limit)
        return tuple(by_account.values())

    def _applicable(self) -> Iterator[AttachmentLimit]:
        applies = self._dependencies.settings.attachments.applies_to
        limits = self._dependencies.limits
        if applies in ("recipient", "both"):
            for address in self._recipients.values():
                if (size := limits.limit_for(address)) is not None:
                    yield AttachmentLimit(address, size)
        user = self._envelope.user if applies in ("sender", "both") else ""
        if user and (size := limits.limit_for(user)) is not None:
            yield AttachmentLimit(user, size, is_recipient=False)

    def _scan(self, piece: bytes) -> None:
        """Measure *piece*; a body no longer than every limit need not be (most mail is not)."""
        if self._scanner is None:
            self._unscanned.append(piece)
            if self._body_size <= min(MAX_UNSCANNED, *(limit.size for limit in self._limits)):
                return
            self._scanner = Scanner(unseen=self._header_size - len(self._content))
            piece = self._content + b"".join(self._unscanned)
            self._unscanned.clear()
        self._scanner.feed(piece)
        self.is_settled = attachments.settled(self._limits, self._scanner.total)
