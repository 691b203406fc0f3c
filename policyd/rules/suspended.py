"""Rule 1: a suspended account sends nothing."""

from policyd import action
from policyd.facts import Answer, Scene


def check(scene: Scene) -> Answer | None:
    """Refuse whatever a suspended account asks, whichever limits are lifted for it."""
    sender = scene.sender
    if sender is None:
        return None
    stop = sender.suspended(scene.now, "sending")
    if stop is None:
        return None
    facts = scene.facts
    until = "" if stop.until is None else action.clock(stop.until, scene.now, facts.zone)
    text = action.suspended(sender.name, stop.reason, until, facts.settings)
    return Answer(text, "suspended")
