"""The log line of a message that got its verdict. Pure."""

from config.daemon.logs import fields, quoted
from milters.message import Message
from milters.verdict import Refuse, Verdict


def line(message: Message, verdict: Verdict, queue_id: str | None) -> str:
    """Return the queue id, the envelope, the sizes and the verdict of *message*."""
    envelope = message.envelope
    return _with_queue_id(
        queue_id,
        client=envelope.client,
        user=envelope.user or None,
        sender=envelope.sender,
        recipients=len(message.recipients),
        size=message.wire_size,
        counted=message.counted_size,
        **_format_verdict(verdict),
    )


def unjudged(queue_id: str | None) -> str:
    """Return the line of a message that was given up, after a bug or because the milter is busy."""
    return _with_queue_id(queue_id, verdict="tempfail")


def _with_queue_id(queue_id: str | None, **values: object) -> str:
    line = fields(**values)
    return f"{quoted(queue_id)} {line}" if queue_id else line


def _format_verdict(verdict: Verdict) -> dict[str, str | None]:
    if isinstance(verdict, Refuse):
        return {"verdict": f"{verdict.code} {verdict.text}"}
    edits = " ".join(f"{edit.name}={edit.value}" for edit in verdict.edits)
    dropped = " ".join(verdict.dropped)
    return {"verdict": "accept", "edits": edits or None, "dropped": dropped or None}
