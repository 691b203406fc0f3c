"""Rule 2: a declared SIZE that cannot fit the role is refused before the message is sent.

The milter counts at least as much for a message of this size (`config.wire`), so nothing
is refused here that it would accept. What passes here is measured there.
"""

from collections.abc import Iterator

from config import wire
from policyd import action
from policyd.context import Context, Decision
from store.people.entitlements import Person

# At RCPT, and at DATA where Postfix does not ask at RCPT. At DATA it names the recipient of a
# message that has only one.
_BEFORE_THE_MESSAGE = frozenset({"RCPT", "DATA"})


def check(context: Context) -> Decision | None:
    """Refuse a message of this size to a recipient who may not have it, whatever it contains."""
    request = context.request
    if not request.size or request.state not in _BEFORE_THE_MESSAGE:
        return None
    settings = context.facts.settings
    for person in _limiting_accounts(context):
        limit = person.attachments(context.now)
        if wire.least(request.size) > limit:
            text = action.too_large(person.name, request.size, limit, settings)
            return Decision(text, "size")
    return None


def _limiting_accounts(context: Context) -> Iterator[Person]:
    """Yield the accounts whose limits hold (`attachments.applies_to`); unknown ones have none."""
    applies_to = context.facts.settings.attachments.applies_to
    if applies_to != "sender":
        recipient = context.facts.directory.person(context.request.recipient)
        if recipient is not None:
            yield recipient
    if applies_to != "recipient" and context.requester.sender is not None:
        yield context.requester.sender
