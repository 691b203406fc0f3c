"""Rule 4: which sending limits a message is charged to, and how much. Pure.

Two subjects at once: the client address and the account that signed in. Registering a computer
lifts only the first (`whitelist.lifts`), so a stolen account stays limited wherever it sends
from. `store.limits.counters` keeps the windows; `store.limits.window` decides by them.

A null sender is charged like any other, or ``MAIL FROM:<>`` would free an infected computer
and a stolen account. Only reports of this machine to itself (a bounce, a vacation reply) are
never charged, even where the campus networks include its addresses: they answer mail that was
accepted, and nothing may stop them.
"""

from hashlib import blake2b

from policyd.context import Context
from policyd.request import Request
from store.limits import refund
from store.limits.window import Charge


def charge_of(context: Context) -> Charge | None:
    """Return the charge for the request, ``None`` if no sending limit concerns it."""
    request = context.request
    if not context.requester.limits or request.state != context.facts.settings.limits.charge_at:
        return None
    if is_own_report(request):
        return None
    amount = 1 if request.state == "RCPT" else request.recipient_count
    if not amount:
        return None
    # Before its second recipient a message has no queue id (charge_at = "RCPT").
    queue = refund.name_of(request.queue_id, request.client_address) if request.queue_id else None
    return Charge(message_id(request), amount, context.requester.limits, queue)


def is_own_report(request: Request) -> bool:
    """Return whether this machine reports to itself on a message.

    A connection of a machine to itself has the same address at both ends, loopback or not, and
    no other can have it (the kernel drops such packets from outside).
    """
    return (
        not request.sender
        and not request.sasl_username
        and request.client_address == request.server_address
    )


def message_id(request: Request) -> int | None:
    """Return 63 bits that identify this request about this message; ``None`` without instance.

    Postfix repeats a request whose reply was lost with the same `instance` (attr_clnt.c, after
    1 s); each recipient of a message has a request of its own.
    """
    if not request.instance:
        return None
    name = f"{request.instance}\n{request.state}\n{request.recipient}\n{request.recipient_count}"
    digest = blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
