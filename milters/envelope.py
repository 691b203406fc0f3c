"""How a message was submitted, and the spellings of its addresses. Pure."""

import re
from dataclasses import dataclass

from config.units import Bytes

_QUOTED_PAIR = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Envelope:
    """How the message was submitted."""

    client: str  # address
    client_name: str
    helo: str
    sender: str
    user: str  # the authenticated user; empty without authentication
    trusted: bool  # by the client's address (spam.trusted)
    declared: Bytes | None  # SIZE= of MAIL (RFC 1870)
    date: str  # of arrival, as in RFC 5322 3.3
    mta: str = ""  # what Postfix calls itself (macro j)


def unquoted(address: str) -> str:
    """Return *address* without the brackets and quotes of RFC 5321 4.1.2."""
    local, at, domain = address.removeprefix("<").removesuffix(">").rpartition("@")
    if len(local) > 1 and local.startswith('"') and local.endswith('"'):
        local = _QUOTED_PAIR.sub(r"\1", local[1:-1])
    return f"{local}{at}{domain}"


def can_be_taken_off(recipient: str) -> bool:
    """Return whether libmilter's binding, which carries UTF-8, can name *recipient*."""
    try:
        recipient.encode()
    except UnicodeEncodeError:
        return False
    return True


def declared_size(parameters: tuple[str, ...]) -> Bytes | None:
    """Return the client's SIZE= in bytes; ``None`` if it is missing, malformed or 0 (unknown)."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.upper() == "SIZE" and value.isascii() and value.isdigit():
            return int(value) or None
    return None
