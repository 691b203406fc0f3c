"""The actions returned to Postfix (access(5)), with texts that help the sender. Pure.

`DUNNO`, never ``OK``: an ``OK`` would skip the restrictions that the site put after us.
"""

import math
from datetime import datetime, tzinfo

from config.replies import one_line
from config.settings import Settings
from config.units import format_size, format_span
from store.limits.window import Charge, ChargeResult, Limit

DUNNO = "DUNNO"
# Postfix accepts 5,000 bytes, but a client shows a line or two, and the store's column holds 1024.
MAX_TEXT = 500
_MINUTE = 60


def clean(text: str) -> str:
    """Return *text* fit for an SMTP reply: one line, printable, of bounded length."""
    return one_line(text, MAX_TEXT)


def suspended(name: str, reason: str, until: str, settings: Settings) -> str:
    """Refuse a suspended account; a *reason* that is not ASCII is left out."""
    when = f" until {until}" if until else ""
    why = f": {reason}" if reason.isascii() else ""
    return clean(
        f"550 5.7.1 Sending is stopped for {name}{when}{why}. Questions: {settings.site.postmaster}"
    )


def initial_password(name: str, settings: Settings) -> str:
    """Refuse an account that still has its initial password."""
    where = settings.portal.base_url or settings.site.help_url
    return clean(
        f"550 5.7.1 {name} may send after the initial password is changed"
        f"{f': {where}' if where else ''}. Questions: {settings.site.postmaster}"
    )


def too_large(recipient: str, size: int, limit: int, settings: Settings) -> str:
    """Refuse a declared *size* that cannot fit the attachment *limit* of *recipient* (bytes)."""
    return clean(
        f"552 5.3.4 Attachments for {recipient} may have {format_size(limit)} at most; "
        f"this message is {format_size(size)}. {settings.attachments.advice}"
    )


def too_many(count: int, limit: int) -> str:
    """Refuse a message with more recipients than any message may have."""
    return (
        f"550 5.5.3 This message has {count} recipients; at most {limit} are allowed in one. "
        "Send it in parts, or use a mailing list"
    )


def over_limit(
    charge: Charge, result: ChargeResult, now: float, *, settings: Settings, zone: tzinfo | None
) -> str:
    """Refuse *charge*: which limit, how much is used, when to retry, and what helps at once."""
    limit = result.limit
    if limit is None:
        raise ValueError("a refusal names its limit")
    kind, _, name = limit.subject.partition(" ")
    rate = f"{limit.limit} recipients per {format_span(limit.span)} for {name}"
    if result.again is None:
        return clean(
            f"550 5.7.1 Limit of {rate}: a message to {charge.amount} recipients never fits"
        )
    used = f"{result.used} used"
    if result.used < limit.limit:
        used += f", {charge.amount} more wanted"
    again = f"Try again at {clock(result.again, now, zone)}"
    text = f"450 4.7.1 Limit of {rate} reached ({used}). {again}{_help(kind, settings)}"
    return clean(text)


def _help(kind: str, settings: Settings) -> str:
    """Return what helps sooner: registering the computer, if that lifts a limit of this kind."""
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
    """Return the time *when* rounded up to the minute, with its day unless that is today."""
    minute = math.ceil(when / _MINUTE) * _MINUTE
    time = datetime.fromtimestamp(minute, zone)
    today = datetime.fromtimestamp(now, zone).date()
    return f"{time:%H:%M}" if time.date() == today else f"{time:%H:%M on %-d %b}"


def describe(limit: Limit | None, used: int) -> str | None:
    """Return ``count x/y`` for the log."""
    return None if limit is None else f"{used}/{limit.limit}"
