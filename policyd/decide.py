"""One request, one decision: the rules in their order, the first answer wins. Pure."""

from policyd import action
from policyd.facts import Answer, Facts, scene_of
from policyd.limiter import charge_of
from policyd.request import Request
from policyd.rules import recipients, size, suspended
from store.window import Charge

_PASS = Answer(action.DUNNO, "")
_PASS_OURS = Answer(action.DUNNO, "", ours=True)
RULES = (suspended.check, size.check, recipients.check)


def decide(request: Request, facts: Facts, now: float) -> Answer | Charge:
    """Return the answer, or the charge whose verdict will be the answer."""
    scene = scene_of(request, facts, now)
    for rule in RULES:
        answer = rule(scene)
        if answer is not None:
            return answer
    return charge_of(scene) or (_PASS_OURS if scene.submission else _PASS)
