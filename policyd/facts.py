"""What the rules may know: settings, and the accounts and exemptions in memory. Pure."""

from dataclasses import dataclass, field
from datetime import tzinfo
from ipaddress import IPv4Network, IPv6Network, ip_network

from config.settings import Settings
from store.memory.directory import Directory


@dataclass(frozen=True, slots=True, eq=False)  # hashed by identity
class Facts:
    """Everything a decision rests on besides the request and the time."""

    settings: Settings
    directory: Directory
    zone: tzinfo | None = None  # of the times in replies; None: the machine's
    campus: tuple[IPv4Network | IPv6Network, ...] = field(init=False)

    def __post_init__(self) -> None:
        networks = tuple(ip_network(each) for each in self.settings.site.campus_networks)
        object.__setattr__(self, "campus", networks)
