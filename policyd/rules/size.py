"""Rule 2: a declared SIZE that cannot fit the role is refused before a byte is sent.

Attachment limits are decoded bytes; the wire is larger by base64: 78 bytes (76 and
CRLF) for 57, that is 1.37, and by text and headers. What passes here is measured by
the milter. An attached text in quoted-printable may grow by three: who sends one
that large and mostly not ASCII is refused although it would fit.
"""

from collections.abc import Iterator

from policyd import action
from policyd.facts import Answer, Scene
from store.directory import Person

BASE64_GROWTH = 1.37
# Before a byte is sent: at RCPT, and at DATA where we are not asked at RCPT. Postfix then
# names the recipient of a message that has only one.
_BEFORE_THE_MESSAGE = frozenset({"RCPT", "DATA"})
# Text and headers, which the limit does not count: a book has a megabyte.
TEXT_BYTES = 1 << 20


def check(scene: Scene) -> Answer | None:
    """Refuse a recipient for whom the message is too large whatever it contains."""
    request = scene.request
    if not request.size or request.state not in _BEFORE_THE_MESSAGE:
        return None
    settings = scene.facts.settings
    for person in _judged_by(scene):
        limit = person.attachments(scene.now)
        # Where no attachment is allowed, a large message may still be text.
        if limit and request.size > limit * BASE64_GROWTH + TEXT_BYTES:
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
