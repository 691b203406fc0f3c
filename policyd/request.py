"""What Postfix asks: the attributes that some rule reads. Pure.

Of about 30 attributes (29 in Postfix 3.7, more in each later version) the rules
read ten. Postfix sends them in the same order in each request, so the lines where
they stand are learned once, and only checked after: half of the time that reading
all lines takes. Names we do not know are ignored, as SMTPD_POLICY_README asks.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from policyd.protocol import ProtocolError

_START = "request=smtpd_access_policy"
_NAMES = (
    "protocol_state",
    "client_address",
    "sender",
    "recipient",
    "recipient_count",
    "queue_id",
    "instance",
    "size",
    "sasl_username",
    "policy_context",
)
# Sizes and counts of Postfix fit 63 bits: longer digits are an attack on int().
_MAX_DIGITS = 18

# Where each of `_NAMES` stands: the line, its beginning, the length of that.
_Layout: TypeAlias = Sequence[tuple[int, str, int]]
# By the number of lines: each version of Postfix has its own.
_layouts: dict[int, _Layout] = {}
MAX_LAYOUTS = 16


class Request(NamedTuple):  # a tuple: made 30,000 times a second
    """One policy request; absent attributes are empty, as Postfix itself sends them."""

    state: str
    client_address: str = ""
    sender: str = ""
    recipient: str = ""
    recipient_count: int = 0
    queue_id: str = ""
    instance: str = ""
    size: int = 0
    sasl_username: str = ""
    context: str = ""

    @property
    def name(self) -> str:
        """What the log calls the message: the queue id once there is one."""
        return self.queue_id or self.instance


def parse(raw: bytes) -> Request:
    """Return the request in *raw* (without its empty line); raise `ProtocolError`.

    A value keeps every ``=`` after the first (BATV and SRS addresses hold some).
    Bytes that are not UTF-8 survive as surrogates: they name nobody of ours.
    """
    if b"\0" in raw:
        raise ProtocolError("request with a NUL byte")
    lines = raw.decode("utf-8", "surrogateescape").split("\n")
    layout = _layouts.get(len(lines))
    values = None if layout is None or lines[0] != _START else _quickly(lines, layout)
    if values is None:
        values = _slowly(lines)
    state, client, sender, recipient, count, queue_id, instance, size, user, context = values
    if not state:
        raise ProtocolError("request without a protocol_state")
    return Request(
        state,
        client,
        sender,
        recipient,
        _number(count),
        queue_id,
        instance,
        _number(size),
        user,
        context,
    )


def _quickly(lines: Sequence[str], layout: _Layout) -> list[str] | None:
    """Return the values at their places, ``None`` if one is not there."""
    values = []
    for place, begin, length in layout:
        line = lines[place]
        if not line.startswith(begin):
            return None
        values.append(line[length:])
    return values


def _slowly(lines: Sequence[str]) -> list[str]:
    """Return the values wherever they stand, and learn that for next time."""
    if _START not in lines:
        raise ProtocolError(f"not a {_START}")
    places: dict[str, int] = {}
    for place, line in enumerate(lines):
        places.setdefault(line.partition("=")[0], place)
    # Only of requests that have all: where nothing stands, nothing can be checked.
    if len(_layouts) < MAX_LAYOUTS and all(name in places for name in _NAMES):
        _layouts[len(lines)] = [(places[name], f"{name}=", len(name) + 1) for name in _NAMES]
    return [lines[places[name]].partition("=")[2] if name in places else "" for name in _NAMES]


def _number(digits: str) -> int:
    if not digits:
        return 0
    if len(digits) > _MAX_DIGITS or not (digits.isascii() and digits.isdigit()):
        raise ProtocolError(f"not a number: {digits[:40]!r}")
    return int(digits)
