"""The requester: whose message a request is about, and which limits hold for it. Pure."""

from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import NamedTuple

from config.settings import Settings
from config.units import Rate
from policyd.facts import Facts
from policyd.request import Request
from store.limits import subjects
from store.limits.window import Limit
from store.people.entitlements import Person, generous
from store.people.names import canonical

# Requesters of some seconds. A busy client asks hundreds of times a second, and finding the
# requester takes 15 of the 18 µs of a decision.
REMEMBERED = 1 << 12
# The longest subject that the store's key holds (store.models.UsageRow), in characters.
MAX_SUBJECT = 160


class Requester(NamedTuple):
    """Who sends, and within which limits."""

    submission: bool  # a local user sends; otherwise mail arrives from outside
    sender: Person | None  # the account that signed in, if it is known
    exempt: bool  # whether the client is on the whitelist
    limits: tuple[Limit, ...]  # what sending is charged to


def requester_of(request: Request, facts: Facts, now: float) -> Requester:
    """Return the requester of *request*; *now* is Unix seconds, cut to whole ones."""
    client, user = request.client_address, request.sasl_username
    return _find(facts, client, user, request.context, int(now))


@lru_cache(REMEMBERED)
def _find(facts: Facts, client: str, user: str, context: str, now: int) -> Requester:
    submission = is_submission(client, user, context, facts.campus)
    sender = facts.directory.person(user) if user else None
    exempt = facts.directory.whitelisted(client, now) is not None
    limits = limits_of(client, user, facts, sender, exempt=exempt, now=now) if submission else ()
    return Requester(submission, sender, exempt, limits)


def is_submission(
    client: str, user: str, context: str, campus: tuple[IPv4Network | IPv6Network, ...]
) -> bool:
    """Return whether a local user sends, by login, else `policy_context`, else client address."""
    if user or context == "submission":
        return True
    return context != "inbound" and _on_campus(client, campus)


def _on_campus(address: str, campus: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    client = _client(address)
    return client is not None and any(client in network for network in campus)


def _client(address: str) -> IPv4Address | IPv6Address | None:
    """Read *address*; an IPv4 client that came over an IPv6 socket is an IPv4 client."""
    try:
        client = ip_address(address)
    except ValueError:
        return None  # "unknown", or empty
    if isinstance(client, IPv6Address) and client.ipv4_mapped is not None:
        return client.ipv4_mapped
    return client


def limits_of(
    client: str, user: str, facts: Facts, sender: Person | None, *, exempt: bool, now: float
) -> tuple[Limit, ...]:
    """Return the requester's limits, less those that `whitelist.lifts` for an *exempt* one."""
    settings = facts.settings
    lifted = settings.whitelist.lifts if exempt else ()
    limits: list[Limit] = []
    if "client" not in lifted:
        limits += _client_limits(client, settings)
    if user and "account" not in lifted:
        limits += _account_limits(user, sender, settings, now)
    return tuple(limits)


def _client_limits(address: str, settings: Settings) -> list[Limit]:
    try:
        subject = subjects.client(address, ipv6_prefix=settings.limits.ipv6_prefix)
    except ValueError:
        return []  # "unknown", or empty
    return _limits(subject, settings.limits.client)


def _account_limits(
    user: str, sender: Person | None, settings: Settings, now: float
) -> list[Limit]:
    if sender is not None:
        name, rates = sender.name, sender.send(now)
    else:
        # Signed in, but not (yet) in memory: count, but never refuse out of ignorance.
        name, rates = canonical(user, settings.site), generous(settings).send
    if not name.isascii():
        name = name.encode("utf-8", "backslashreplace").decode()
    return _limits(subjects.account(name)[:MAX_SUBJECT], rates)


def _limits(subject: str, rates: tuple[Rate, ...]) -> list[Limit]:
    return [Limit(subject, rate.window, rate.limit) for rate in rates]
