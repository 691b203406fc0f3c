"""What the rules may know: settings, people and exemptions in memory, and one request. Pure."""

from dataclasses import dataclass, field
from datetime import tzinfo
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple, TypeAlias

from config.settings import Settings
from policyd.request import Request
from store.directory import Directory, Person
from store.window import Limit

# Clients of a few seconds.
REMEMBERED_STANDINGS = 1 << 12


class Answer(NamedTuple):
    """A decision that needs no store: what to say and why."""

    action: str
    cause: str  # for the log; empty where there is nothing to tell
    ours: bool = False  # a question about what somebody of ours sends, and nothing against it


class Standing(NamedTuple):
    """Who asks, and within which limits: the same for all questions of a second."""

    submission: bool  # somebody of ours sends; else mail arrives from the world
    sender: Person | None  # who signed in, if an account of ours
    exempt: bool  # whether the client is on the whitelist
    limits: tuple[Limit, ...]  # what sending is charged to


# Client address, login, policy_context, second.
Who: TypeAlias = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True, eq=False)  # hashed by identity
class Facts:
    """Everything a decision rests on besides the request and the time."""

    settings: Settings
    directory: Directory
    zone: tzinfo | None = None  # of the times in replies; None: the machine's
    campus: tuple[IPv4Network | IPv6Network, ...] = field(init=False)
    # A busy client asks hundreds of times a second, and finding out who it is takes
    # longer than all rules together.
    standings: dict[Who, Standing] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        networks = tuple(ip_network(each) for each in self.settings.site.campus_networks)
        object.__setattr__(self, "campus", networks)

    def remember(self, who: Who, standing: Standing) -> Standing:
        """Keep *standing* in `standings` for the rest of its second."""
        if len(self.standings) >= REMEMBERED_STANDINGS:
            self.standings.clear()
        self.standings[who] = standing
        return standing


class Scene(NamedTuple):
    """One request, seen with the facts."""

    request: Request
    facts: Facts
    now: float
    submission: bool
    sender: Person | None
    exempt: bool
    limits: tuple[Limit, ...]


def is_submission(request: Request, campus: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    """Return whose rules hold: who signed in is ours, else the site says it, else the address."""
    if request.sasl_username or request.context == "submission":
        return True
    return request.context != "inbound" and _on_campus(request.client_address, campus)


def _on_campus(address: str, campus: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    client = _client(address)
    return client is not None and any(client in network for network in campus)


def _client(address: str) -> IPv4Address | IPv6Address | None:
    """Read *address*; an IPv4 client that came over an IPv6 socket is an IPv4 client."""
    try:
        client = ip_address(address)
    except ValueError:
        return None  # "unknown", or empty: nobody of ours
    if isinstance(client, IPv6Address) and client.ipv4_mapped is not None:
        return client.ipv4_mapped
    return client
