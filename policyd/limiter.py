"""Rule 4: which sending limits a message is charged to, and with how much. Pure.

Two subjects at once: the client address and the account that signed in. A
registered computer is freed of the first only (`whitelist.lifts`), so a hacked
account stays limited wherever it sends from. What the windows hold is the
business of `store.usage`; how they are judged, of `store.window`.

A null sender is charged like any other, or ``MAIL FROM:<>`` would free an infected
computer and a stolen account. Only the reports of this machine to itself (a bounce,
a vacation reply) are charged to nobody, also where the campus networks include its
addresses: they answer mail that was accepted, and nothing may stop them.
"""

from hashlib import blake2b

from config.settings import Settings
from config.units import Rate
from policyd.facts import Facts, Scene
from policyd.request import Request
from store import giving, subjects
from store.directory import Person, generous
from store.names import canonical
from store.window import Charge, Limit

# The longest name of a subject that the store's key holds (store.models.Usage).
MAX_SUBJECT = 160


def charge_of(scene: Scene) -> Charge | None:
    """Return what the request is charged, ``None`` when no sending limit concerns it."""
    request = scene.request
    if not scene.limits or request.state != scene.facts.settings.limits.charge_at:
        return None
    if is_own_report(request):
        return None
    amount = 1 if request.state == "RCPT" else request.recipient_count
    if not amount:
        return None
    # Before its second recipient a message has no queue id (charge_at = "RCPT").
    queue = giving.name_of(request.queue_id, request.client_address) if request.queue_id else None
    return Charge(message_id(request), amount, scene.limits, queue)


def is_own_report(request: Request) -> bool:
    """Return whether this machine tells what became of a mail.

    A connection to oneself has the same address at both ends, loopback or not, and
    nobody else can have it (the kernel drops such packets from outside).
    """
    return (
        not request.sender
        and not request.sasl_username
        and request.client_address == request.server_address
    )


def limits_of(
    request: Request, facts: Facts, sender: Person | None, *, exempt: bool, now: float
) -> tuple[Limit, ...]:
    """Return the limits of who asks; an *exempt* client is freed of what the site says."""
    settings = facts.settings
    freed = settings.whitelist.lifts if exempt else ()
    limits: list[Limit] = []
    if "client" not in freed:
        limits += _client_limits(request.client_address, settings)
    if request.sasl_username and "account" not in freed:
        limits += _account_limits(request.sasl_username, sender, settings, now)
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
        # Signed in, but not (yet) in our copy: never refuse on ignorance, still count.
        name, rates = canonical(user, settings.site), generous(settings).send
    if not name.isascii():
        name = name.encode("utf-8", "backslashreplace").decode()
    return _limits(subjects.account(name)[:MAX_SUBJECT], rates)


def _limits(subject: str, rates: tuple[Rate, ...]) -> list[Limit]:
    return [Limit(subject, rate.window, rate.limit) for rate in rates]


def message_id(request: Request) -> int | None:
    """Return 63 bits that name this question about this message; ``None`` without instance.

    Postfix repeats a question whose answer was lost with the same `instance`
    (attr_clnt.c, after 1 s); each recipient of a message asks its own.
    """
    if not request.instance:
        return None
    what = f"{request.state}\n{request.recipient}\n{request.recipient_count}"
    name = f"{request.instance}\n{what}"
    digest = blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
