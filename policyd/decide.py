"""One request, one decision: the rules in their order; the first that decides wins. Pure."""

from policyd import action
from policyd.context import Context, Decision
from policyd.facts import Facts
from policyd.request import Request
from policyd.requester import requester_of
from policyd.rules import recipients, size, suspended
from policyd.rules.sending import charge_of, is_own_report
from store.limits.window import Charge

_PASS = Decision(action.DUNNO, "")
_PASS_LOCAL = Decision(action.DUNNO, "", from_our_user=True)
# Why no sending limit applies to a message, logged at the state where it would be charged.
_INBOUND = Decision(action.DUNNO, "inbound")
_NULL_SENDER = Decision(action.DUNNO, "null-sender", from_our_user=True)
_EXEMPT = Decision(action.DUNNO, "exempt", from_our_user=True)
_NO_LIMIT = Decision(action.DUNNO, "no-limit", from_our_user=True)
RULES = (suspended.check, size.check, recipients.check)


def decide(request: Request, facts: Facts, now: float) -> Decision | Charge:
    """Return the decision, or the charge whose result will decide."""
    context = Context(request, facts, now, requester_of(request, facts, now))
    for rule in RULES:
        decision = rule(context)
        if decision is not None:
            return decision
    return charge_of(context) or _uncharged(context)


def _uncharged(context: Context) -> Decision:
    requester = context.requester
    if context.request.state != context.facts.settings.limits.charge_at:
        return _PASS_LOCAL if requester.submission else _PASS
    if not requester.submission:
        return _INBOUND
    if is_own_report(context.request):
        return _NULL_SENDER
    return _EXEMPT if requester.exempt else _NO_LIMIT
