"""One policy request: the attributes that some rule reads. Pure.

Of about 30 attributes (29 in Postfix 3.7, more in each later version) the rules read eleven.
Postfix sends them in the same order in each request. That order is learned once, as a pattern
for whole requests; to match it takes a quarter of the time of reading all lines. Unknown names
are ignored, as SMTPD_POLICY_README asks; a name that we read must not come twice.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from policyd.protocol import ProtocolError

_START = "request=smtpd_access_policy"
# In the order in which Postfix sends them (smtpd_check.c).
_NAMES = (
    "protocol_state",
    "client_address",
    "server_address",
    "sender",
    "recipient",
    "recipient_count",
    "queue_id",
    "instance",
    "size",
    "sasl_username",
    "policy_context",
)
# Sizes and counts of Postfix fit 63 bits; int() of many more digits takes long.
_MAX_DIGITS = 18

# Each version of Postfix has its own order.
_layouts: list[re.Pattern[str]] = []
MAX_LAYOUTS = 16
# Twice what Postfix sends; a longer pattern takes long to compile.
MAX_LAYOUT_LINES = 64


class Request(NamedTuple):  # a tuple: 30,000 are created a second
    """One policy request; absent attributes are empty, as Postfix itself sends them."""

    state: str
    client_address: str = ""
    server_address: str = ""  # our address, to which the client connected
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
        """The name of the message in the log: the queue id once there is one."""
        return self.queue_id or self.instance


def parse(raw: bytes) -> Request:
    """Return the request in *raw* (without its empty line); raise `ProtocolError`.

    A value keeps every ``=`` after the first (BATV and SRS addresses hold some).
    Bytes that are not UTF-8 survive as surrogates, which match no account.
    """
    if b"\0" in raw:
        raise ProtocolError("request with a NUL byte")
    text = raw.decode("utf-8", "surrogateescape")
    values = _values(text)
    state, client, server, sender, recipient, count, queue_id, instance, size, user, context = (
        values
    )
    if not state:
        raise ProtocolError("request without a protocol_state")
    return Request(
        state,
        client,
        server,
        sender,
        recipient,
        _number(count),
        queue_id,
        instance,
        _number(size),
        user,
        context,
    )


def _values(text: str) -> Sequence[str]:
    """Return the values of `_NAMES`, empty where there is none."""
    for layout in _layouts:
        if found := layout.fullmatch(text):
            return found.groups()
    return _read_lines(text.split("\n"))


def _read_lines(lines: Sequence[str]) -> Sequence[str]:
    """Return the values in any order, and learn this order for the next request."""
    if _START not in lines:
        raise ProtocolError(f"not a {_START}")
    values = dict.fromkeys(_NAMES, "")
    order = []
    for line in lines:
        name, _, value = line.partition("=")
        if name in values:
            if name in order:
                raise ProtocolError(f"{name} came twice")
            order.append(name)
            values[name] = value
    if tuple(order) == _NAMES and len(lines) <= MAX_LAYOUT_LINES and len(_layouts) < MAX_LAYOUTS:
        _layouts.append(re.compile("\n".join(map(_pattern, lines))))
    return tuple(values.values())


def _pattern(line: str) -> str:
    """Return a pattern for lines with the name of *line* and any value."""
    name, equals, _ = line.partition("=")
    if line == _START or not equals:
        return re.escape(line)
    # Possessive: a line is matched in one way or not at all.
    return f"{re.escape(name)}=" + ("(.*+)" if name in _NAMES else ".*+")


def _number(digits: str) -> int:
    if not digits:
        return 0
    if len(digits) > _MAX_DIGITS or not (digits.isascii() and digits.isdigit()):
        raise ProtocolError(f"not a number: {digits[:40]!r}")
    return int(digits)
