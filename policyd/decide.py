"""One request, one decision: the rules in their order, the first answer wins. Pure."""

from policyd import action
from policyd.facts import Answer, Facts, Scene, Standing, is_submission
from policyd.limiter import charge_of, is_own_report, limits_of
from policyd.request import Request
from policyd.rules import recipients, size, suspended
from store.window import Charge

_PASS = Answer(action.DUNNO, "")
_PASS_OURS = Answer(action.DUNNO, "", ours=True)
# Why sending limits do not concern a message, said where they would be charged.
_INBOUND = Answer(action.DUNNO, "inbound")
_NULL_SENDER = Answer(action.DUNNO, "null-sender", ours=True)
_EXEMPT = Answer(action.DUNNO, "exempt", ours=True)
_NO_LIMIT = Answer(action.DUNNO, "no-limit", ours=True)
RULES = (suspended.check, size.check, recipients.check)


def decide(request: Request, facts: Facts, now: float) -> Answer | Charge:
    """Return the answer, or the charge whose verdict will be the answer."""
    who = (request.client_address, request.sasl_username, request.context, int(now))
    standing = facts.standings.get(who) or facts.remember(who, _standing(request, facts, now))
    scene = Scene(request, facts, now, *standing)
    for rule in RULES:
        answer = rule(scene)
        if answer is not None:
            return answer
    return charge_of(scene) or _uncharged(scene)


def _uncharged(scene: Scene) -> Answer:
    if scene.request.state != scene.facts.settings.limits.charge_at:
        return _PASS_OURS if scene.submission else _PASS
    if not scene.submission:
        return _INBOUND
    if is_own_report(scene.request):
        return _NULL_SENDER
    return _EXEMPT if scene.exempt else _NO_LIMIT


def _standing(request: Request, facts: Facts, now: float) -> Standing:
    """Find out who asks."""
    user, client = request.sasl_username, request.client_address
    submission = is_submission(request, facts.campus)
    sender = facts.directory.person(user) if user else None
    exempt = facts.directory.whitelisted(client, now) is not None
    limits = limits_of(request, facts, sender, exempt=exempt, now=now) if submission else ()
    return Standing(submission, sender, exempt, limits)
