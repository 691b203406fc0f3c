"""The subjects that sending limits count (`store.models.UsageRow`). Pure."""

from ipaddress import IPv6Address, ip_address, ip_network

# One household, lab or phone gets a /64 (RFC 6177): a limit on single addresses would be none.
IPV6_PREFIX = 64


def client(address: str, *, ipv6_prefix: int = IPV6_PREFIX) -> str:
    """Return the subject of a client *address*: itself in IPv4, its network in IPv6.

    Raises ``ValueError`` if it is not an address, such as Postfix's ``unknown``.
    """
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return f"client {parsed.ipv4_mapped}"
        return f"client {ip_network((int(parsed), ipv6_prefix), strict=False)}"
    return f"client {parsed}"


def account(name: str) -> str:
    """Return the subject of the account with the canonical *name*."""
    return f"account {name}"
