"""Rule 2: a declared SIZE that cannot fit the role is refused before a byte is sent.

The milter counts at least as much for a message of this size (`config.wire`), so nothing
is refused here that it would accept. What passes here is measured there.
"""

from collections.abc import Iterator

from config import wire
from policyd import action
from policyd.facts import Answer, Scene
from store.directory import Person

# Before a byte is sent: at RCPT, and at DATA where we are not asked at RCPT. Postfix then
# names the recipient of a message that has only one.
_BEFORE_THE_MESSAGE = frozenset({"RCPT", "DATA"})


def check(scene: Scene) -> Answer | None:
    """Refuse a recipient who may not have a message of this size, whatever it contains."""
    request = scene.request
    if not request.size or request.state not in _BEFORE_THE_MESSAGE:
        return None
    settings = scene.facts.settings
    for person in _judged_by(scene):
        limit = person.attachments(scene.now)
        if wire.least(request.size) > limit:
            text = action.too_large(person.name, request.size, limit, settings)
            return Answer(text, "size")
    return None


def _judged_by(scene: Scene) -> Iterator[Person]:
    """Whose limit holds, as `attachments.applies_to` says; who is unknown has none."""
    applies_to = scene.facts.settings.attachments.applies_to
    if applies_to != "sender":
        recipient = scene.facts.directory.person(scene.request.recipient)
        if recipient is not None:
            yield recipient
    if applies_to != "recipient" and scene.sender is not None:
        yield scene.sender
