"""Rule 1: who may not send hears why: suspended, or still on the initial password.

The login succeeds (`dovecot_auth.check`), as its refusal would be "wrong password" to
every mail program.
"""

from policyd import action
from policyd.context import Context, Decision


def check(context: Context) -> Decision | None:
    """Refuse whatever such an account asks, whichever limits are lifted for it."""
    sender = context.requester.sender
    if sender is None:
        return None
    stop = sender.suspended(context.now, "sending")
    facts = context.facts
    if stop is None:
        if sender.initial and not facts.settings.auth.initial_may_send:
            text = action.initial_password(sender.name, facts.settings)
            return Decision(text, "initial-password")
        return None
    until = "" if stop.until is None else action.clock(stop.until, context.now, facts.zone)
    text = action.suspended(sender.name, stop.reason, until, facts.settings)
    return Decision(text, "suspended")
