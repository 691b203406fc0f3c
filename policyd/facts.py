"""What the rules may know: settings, people and exemptions in memory, and one request. Pure."""

from dataclasses import dataclass, field
from datetime import tzinfo
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple

from config.settings import Settings
from policyd.request import Request
from store import subjects
from store.directory import Directory, Person

# Distinct clients of a campus in a day; an entry is some 200 bytes.
REMEMBERED_CLIENTS = 1 << 16


class Answer(NamedTuple):
    """A decision that needs no store: what to say and why."""

    action: str
    cause: str
    ours: bool = False  # a question about what somebody of ours sends, and nothing against it


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision rests on besides the request and the time."""

    settings: Settings
    directory: Directory
    zone: tzinfo | None = None  # of the times in replies; None: the machine's
    campus: tuple[IPv4Network | IPv6Network, ...] = field(init=False)

    def __post_init__(self) -> None:
        networks = tuple(ip_network(each) for each in self.settings.site.campus_networks)
        object.__setattr__(self, "campus", networks)


class Scene(NamedTuple):
    """One request, seen with the facts."""

    request: Request
    facts: Facts
    now: float
    submission: bool  # somebody of ours sends; else mail arrives from the world
    sender: Person | None  # who signed in, if an account of ours


def scene_of(request: Request, facts: Facts, now: float) -> Scene:
    """Look up who is asking."""
    user = request.sasl_username
    sender = facts.directory.person(user) if user else None
    return Scene(request, facts, now, _submission(request, facts), sender)


def _submission(request: Request, facts: Facts) -> bool:
    """Return whose rules hold: the site says it by ``policy_context``, or who asks tells it."""
    if request.context == "submission":
        return True
    if request.context == "inbound":
        return False
    return bool(request.sasl_username) or _on_campus(request.client_address, facts.campus)


@lru_cache(maxsize=REMEMBERED_CLIENTS)
def _on_campus(address: str, campus: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    client = _client(address)
    return client is not None and any(client in network for network in campus)


@lru_cache(maxsize=REMEMBERED_CLIENTS)
def client_subject(address: str, ipv6_prefix: int) -> str | None:
    """Return the limiter's name of a client; ``None`` for what has no address."""
    try:
        return subjects.client(address, ipv6_prefix=ipv6_prefix)
    except ValueError:
        return None


def _client(address: str) -> IPv4Address | IPv6Address | None:
    """Read *address*; an IPv4 client that came over an IPv6 socket is an IPv4 client."""
    try:
        client = ip_address(address)
    except ValueError:
        return None  # "unknown", or empty: nobody of ours
    if isinstance(client, IPv6Address) and client.ipv4_mapped is not None:
        return client.ipv4_mapped
    return client
