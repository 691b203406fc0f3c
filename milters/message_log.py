"""The log line of a message that got its verdict. Pure."""

from config.daemon.logs import fields
from milters.message import Message
from milters.verdict import Refuse, Verdict


def line(message: Message, verdict: Verdict, queue_id: str | None) -> str:
    """Return whose *message* it was, how large, what counted, and what became of it."""
    envelope = message.envelope
    return fields(
        id=queue_id,
        client=envelope.client,
        user=envelope.user or None,
        sender=envelope.sender,
        recipients=len(message.recipients),
        size=message.wire_size,
        counted=message.counted_size,
        **_shown(verdict),
    )


def _shown(verdict: Verdict) -> dict[str, str | None]:
    if isinstance(verdict, Refuse):
        return {"verdict": f"{verdict.code} {verdict.text}"}
    edits = " ".join(f"{edit.name}={edit.value}" for edit in verdict.edits)
    dropped = " ".join(verdict.dropped)
    return {"verdict": "accept", "edits": edits or None, "dropped": dropped or None}
