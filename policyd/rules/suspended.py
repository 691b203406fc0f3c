"""Rule 1: an account that may not send is refused: suspended, or still on its initial password.

The login succeeds (`dovecot_auth.check`), since every mail program would show its refusal as
"wrong password". Here the reply gives the reason.
"""

from policyd import action
from policyd.context import Context, Decision


def check(context: Context) -> Decision | None:
    """Refuse every request of such an account, whichever limits are lifted for it."""
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
