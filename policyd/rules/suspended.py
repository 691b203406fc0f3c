"""Rule 1: who may not send hears why: suspended, or still on the initial password.

The login succeeds (`dovecot_auth.check`), as its refusal would be "wrong password" to
every mail program.
"""

from policyd import action
from policyd.facts import Answer, Scene


def check(scene: Scene) -> Answer | None:
    """Refuse whatever such an account asks, whichever limits are lifted for it."""
    sender = scene.sender
    if sender is None:
        return None
    stop = sender.suspended(scene.now, "sending")
    facts = scene.facts
    if stop is None:
        if sender.initial and not facts.settings.auth.initial_may_send:
            text = action.initial_password(sender.name, facts.settings)
            return Answer(text, "initial-password")
        return None
    until = "" if stop.until is None else action.clock(stop.until, scene.now, facts.zone)
    text = action.suspended(sender.name, stop.reason, until, facts.settings)
    return Answer(text, "suspended")
