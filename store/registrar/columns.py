"""Suspensions, overrides and marks of initial passwords as columns of a CSV. Pure.

They move with an account from one gatepost to another. Times are ISO 8601, in UTC unless they
name a zone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from config.units import UnixSeconds, parse_moment, parse_size, write_size
from store.people.fields import check_size, send_limits
from store.people.suspension import MAX_REASON
from store.people.view import AccountView, ActiveSuspension

SCOPES = ("sending", "everything")
OVERRIDES = ("mailbox", "attachments", "send")
EXTRA = (
    "initial",
    *(f"suspended_{scope}" for scope in SCOPES),
    *(column for name in OVERRIDES for column in (name, f"{name}_until")),
)
UNLIMITED = "unlimited"
UNLIMITED_IS: Mapping[str, int | str] = {"mailbox": 0, "send": ""}  # as the store keeps it
_FOR_GOOD = "-"


@dataclass(frozen=True, slots=True)
class Extras:
    """What a line sets besides the identity of an account."""

    initial: bool = False
    suspended: tuple[ActiveSuspension, ...] = ()  # begin when the account is created
    overrides: Mapping[str, int | str | None] = field(default_factory=dict)  # by column


def dump(view: AccountView) -> dict[str, str]:
    """Return *view* as the columns that `load` reads."""
    stops = {stop.scope: stop for stop in view.suspended}
    return {
        "initial": "yes" if view.initial else "",
        **{f"suspended_{scope}": _stop_text(stops.get(scope)) for scope in SCOPES},
        "mailbox": limit_text("mailbox", view.mailbox),
        "mailbox_until": _time_text(view.mailbox_until),
        "attachments": limit_text("attachments", view.attachments),
        "attachments_until": _time_text(view.attachments_until),
        "send": limit_text("send", view.send),
        "send_until": _time_text(view.send_until),
    }


def load(cells: Mapping[str, str | None]) -> Extras:
    """Parse the columns of a line; raise ``ValueError`` or `Refused`."""
    initial = (cells.get("initial") or "no").casefold()
    if initial not in {"yes", "no"}:
        raise ValueError(f"initial must be yes or no, not {initial!r}")
    stops = ((scope, cells.get(f"suspended_{scope}")) for scope in SCOPES)
    overrides: dict[str, int | str | None] = {}
    for name in OVERRIDES:
        value, until = cells.get(name), cells.get(f"{name}_until")
        if value is not None:
            overrides[name] = override(name, value)
            overrides[f"{name}_until"] = None if until is None else _time(until)
        elif until is not None:
            raise ValueError(f"{name}_until needs a value for {name}")
    return Extras(initial == "yes", tuple(_stops(stops)), overrides)


def override(name: str, text: str) -> int | str:
    """Return the override *name* as the store keeps it; raise ``ValueError`` or `Refused`."""
    if text.strip().casefold() == UNLIMITED and name in UNLIMITED_IS:
        return UNLIMITED_IS[name]
    if name == "send":
        return send_limits(text)
    size = check_size(parse_size(text))
    if UNLIMITED_IS.get(name) == size:
        raise ValueError(f"a {name} of {text.strip()} would mean no limit; write {UNLIMITED}")
    return size


def _stops(texts: Iterable[tuple[str, str | None]]) -> Iterable[ActiveSuspension]:
    for scope, text in texts:
        if text is None:
            continue
        until, _, reason = text.partition(" ")
        if not reason or len(reason) > MAX_REASON or not reason.isprintable():
            raise ValueError(
                f"suspended_{scope} must be a date ({_FOR_GOOD} for none), a space, and a reason of"
                f" up to {MAX_REASON} characters"
            )
        yield ActiveSuspension(scope, reason, 0, None if until == _FOR_GOOD else _time(until))


def _stop_text(stop: ActiveSuspension | None) -> str:
    if stop is None:
        return ""
    return f"{_time_text(stop.until) or _FOR_GOOD} {' '.join(stop.reason.split())}"


def limit_text(name: str, value: int | str | None) -> str:
    """Return the override *name* as `override` reads it."""
    if value is None:
        return ""
    if UNLIMITED_IS.get(name) == value:
        return UNLIMITED
    return write_size(value) if isinstance(value, int) else value


def _time_text(at: UnixSeconds | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).isoformat()


def _time(text: str) -> UnixSeconds:
    at = parse_moment(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
