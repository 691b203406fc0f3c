"""What Postfix is told, in words that help the person who reads them (access(5)). Pure.

`DUNNO`, never ``OK``: an ``OK`` would skip the restrictions that the site put after us.
"""

import math
from datetime import datetime, tzinfo

from config.replies import one_line
from config.settings import Settings
from config.units import format_size, format_span
from store.limits.window import Charge, ChargeResult, Limit

DUNNO = "DUNNO"
# Postfix takes 5,000 bytes; a client shows a line or two, and the store's column holds 1024.
MAX_TEXT = 500
_MINUTE = 60


def clean(text: str) -> str:
    """Return *text* fit for an SMTP reply: one line, printable, of bounded length."""
    return one_line(text, MAX_TEXT)


def suspended(name: str, reason: str, until: str, settings: Settings) -> str:
    """Tell that *name* may not send; a *reason* in other letters would be question marks."""
    when = f" until {until}" if until else ""
    why = f": {reason}" if reason.isascii() else ""
    return clean(
        f"550 5.7.1 Sending is stopped for {name}{when}{why}. Questions: {settings.site.postmaster}"
    )


def initial_password(name: str, settings: Settings) -> str:
    """Tell that *name* may send once the password is the person's own."""
    where = settings.portal.base_url or settings.site.help_url
    return clean(
        f"550 5.7.1 {name} may send after the initial password is changed"
        f"{f': {where}' if where else ''}. Questions: {settings.site.postmaster}"
    )


def too_large(recipient: str, size: int, limit: int, settings: Settings) -> str:
    """Tell that a declared *size* cannot fit the attachment *limit* of *recipient*."""
    return clean(
        f"552 5.3.4 Attachments for {recipient} may have {format_size(limit)} at most; "
        f"this message is {format_size(size)}. {settings.attachments.advice}"
    )


def too_many(count: int, limit: int) -> str:
    """Tell that a message has more recipients than any message may have."""
    return (
        f"550 5.5.3 This message has {count} recipients; at most {limit} are allowed in one. "
        "Send it in parts, or use a mailing list"
    )


def over_limit(
    charge: Charge, verdict: ChargeResult, now: float, *, settings: Settings, zone: tzinfo | None
) -> str:
    """Tell which limit refused, what was used, when to try again, and what helps at once."""
    limit = verdict.limit
    if limit is None:
        raise ValueError("a refusal names its limit")
    kind, _, name = limit.subject.partition(" ")
    rate = f"{limit.limit} recipients per {format_span(limit.span)} for {name}"
    if verdict.again is None:
        return clean(
            f"550 5.7.1 Limit of {rate}: a message to {charge.amount} recipients never fits"
        )
    used = f"{verdict.used} used"
    if verdict.used < limit.limit:
        used += f", {charge.amount} more wanted"
    again = f"Try again at {clock(verdict.again, now, zone)}"
    text = f"450 4.7.1 Limit of {rate} reached ({used}). {again}{_help(kind, settings)}"
    return clean(text)


def _help(kind: str, settings: Settings) -> str:
    """Return how to be free sooner: registering lifts the client limit only, as configured."""
    if kind in settings.whitelist.lifts:
        url = (
            f"{settings.portal.base_url}/whitelist"
            if settings.portal.base_url
            else settings.site.help_url
        )
        if url:
            return f", or register this computer for {settings.whitelist.minutes} minutes: {url}"
    elif settings.site.help_url:
        return f". Help: {settings.site.help_url}"
    return ""


def clock(when: float, now: float, zone: tzinfo | None) -> str:
    """Return *when* as people read it, rounded up to the minute; the day only if not today."""
    minute = math.ceil(when / _MINUTE) * _MINUTE
    there = datetime.fromtimestamp(minute, zone)
    here = datetime.fromtimestamp(now, zone)
    return f"{there:%H:%M}" if there.date() == here.date() else f"{there:%H:%M on %-d %b}"


def describe(limit: Limit | None, used: int) -> str | None:
    """Return ``count x/y`` for the log."""
    return None if limit is None else f"{used}/{limit.limit}"
