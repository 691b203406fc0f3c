"""Rule 3: recipients per message, for mail that our people send."""

from policyd import action
from policyd.facts import Answer, Scene

# Postfix knows the number from DATA on; before, `recipient_count` is 0.
_COUNTED = frozenset({"DATA", "END-OF-MESSAGE"})


def check(scene: Scene) -> Answer | None:
    """Refuse a message to more recipients than any message may have."""
    request, limits = scene.request, scene.facts.settings.limits
    most = limits.recipients_per_message
    if not scene.submission or request.recipient_count <= most or request.state not in _COUNTED:
        return None
    if limits.mode == "observe":
        return Answer(action.DUNNO, "would-refuse")
    return Answer(action.too_many(request.recipient_count, most), "recipients")
