"""What a rule is given, and what it decides. Pure."""

from typing import NamedTuple

from policyd.facts import Facts
from policyd.request import Request
from policyd.requester import Requester


class Context(NamedTuple):
    """One request, with the facts and the requester that the rules judge it by."""

    request: Request
    facts: Facts
    now: float  # Unix seconds
    requester: Requester


class Decision(NamedTuple):
    """A decision that needs no counter: the reply to Postfix, and why."""

    action: str
    reason: str  # for the log; empty if there is nothing to log
    from_our_user: bool = False  # a local user sends, and no rule objects
