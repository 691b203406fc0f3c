"""Rule 3: recipients per message, for mail that local users send."""

from policyd import action
from policyd.context import Context, Decision

# Postfix knows the number from DATA on; before, `recipient_count` is 0.
_COUNTED = frozenset({"DATA", "END-OF-MESSAGE"})


def check(context: Context) -> Decision | None:
    """Refuse a message to more recipients than any message may have."""
    request, limits = context.request, context.facts.settings.limits
    most = limits.recipients_per_message
    if (
        not context.requester.submission
        or request.recipient_count <= most
        or request.state not in _COUNTED
    ):
        return None
    if limits.mode == "observe":
        return Decision(action.DUNNO, "would-refuse")
    return Decision(action.too_many(request.recipient_count, most), "recipients")
