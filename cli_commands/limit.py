"""``gatepost limit``: show and reset what counts against the sending limits."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import click

from cli_commands.app import App
from cli_commands.command import command
from cli_commands.output import Output, when
from cli_commands.parameters import reason_option
from config.units import Rate, format_span
from store.errors import NotFound
from store.limits import subjects, whitelist
from store.limits.report import Used, report
from store.limits.reset import reset_usage
from store.limits.whitelist import Exemption
from store.logins import guesses
from store.people import view
from store.people.entitlements import generous, sending_limits
from store.people.names import intended_name

_LIKE_A_NETWORK = re.compile(r"[0-9a-fA-F.:]+/[0-9]{1,3}")
_LIKE_AN_ADDRESS = re.compile(r"[0-9]+(\.[0-9]*){2,}|[0-9a-fA-F.]*:[0-9a-fA-F:.]*")


@dataclass(frozen=True, slots=True)
class WindowUse:
    """One window of one subject against its limit."""

    subject: str
    span: int
    limit: int | None  # None: the settings no longer have this window
    used: int
    refused: int
    until: int | None
    exempt: int | None  # the entry number of the exemption that lifts the limit


@click.group()
def limit() -> None:
    """Show what counts against the sending limits; reset it."""


@command(limit)
@click.argument("subject", required=False, metavar="[ADDRESS|ACCOUNT]")
def show(app: App, output: Output, subject: str | None) -> None:
    """Show what an address or an account has used; without one, everything in use.

    Example: gatepost limit show 192.0.2.7
    """
    found = _subject_windows(app, subject) if subject else _all_windows(app)
    none = "no limit" if subject else "nothing used"
    columns = ("who", "per", "used", "refused", "empty at", "exempt by")
    output.listing(found, columns, map(_row, found), none=none)


@command(limit)
@click.argument("subject", metavar="ADDRESS|ACCOUNT")
@reason_option(required=True)
def reset(app: App, output: Output, subject: str, reason: str) -> None:
    """Reset the sending limits and the wrong passwords of an address or an account.

    It may send and log in again at once. To lift a limit for longer, use `whitelist add`.

    Example: gatepost limit reset 192.0.2.7 --reason "infection removed"
    """
    found = _subject_windows(app, subject)
    name = found[0].subject if found else subject
    windows = reset_usage(app.store, name, change=app.change(reason))
    kind, _, account = name.partition(" ")
    if kind == "client":
        guessed = guesses.reset_network_failures(app.store, account)
    else:
        guessed = guesses.reset_failures(app.store, account)
    output.message(f"{name}: {windows} windows reset{', wrong passwords, too' if guessed else ''}")
    output.document({"subject": name, "windows": windows, "passwords": guessed})


def _row(use: WindowUse) -> tuple[str, ...]:
    return (
        use.subject,
        format_span(use.span),
        f"{use.used}{'' if use.limit is None else f' of {use.limit}'}",
        str(use.refused),
        when(use.until),
        "-" if use.exempt is None else f"entry {use.exempt}",
    )


def _all_windows(app: App) -> list[WindowUse]:
    entries = whitelist.listed(app.store)
    rates: dict[str, tuple[Rate, ...]] = {}
    found = []
    for used in report(app.store):
        kind, _, name = used.subject.partition(" ")
        if used.subject not in rates:
            is_client = kind == "client"
            rates[used.subject] = app.settings.limits.client if is_client else _rates_of(app, name)
        exempt = _exempting_entry(app, kind, name, entries)
        found.append(_window_use(used, rates[used.subject], exempt))
    return found


def _subject_windows(app: App, text: str) -> list[WindowUse]:
    """Return every window of one subject, including unused ones; raise `NotFound`."""
    try:
        subject = subjects.client(text, ipv6_prefix=app.settings.limits.ipv6_prefix)
    except ValueError:
        return _account_windows(app, text)
    _, _, name = subject.partition(" ")
    if ":" in name:  # the whole /64 is counted, but only the given address is asked about
        name = text.partition("%")[0]
    exempt = _exempting_entry(app, "client", name, whitelist.listed(app.store))
    return _windows(app, subject, app.settings.limits.client, exempt)


def _account_windows(app: App, text: str) -> list[WindowUse]:
    name = intended_name(text, app.settings.site)
    try:
        name = view.get(app.store, app.settings, text).name
    except NotFound:
        # A removed account, or a login without an account, may still have used something.
        if not report(app.store, subject=subjects.account(name)):
            raise NotFound(_neither(text)) from None
    return _windows(app, subjects.account(name), _rates_of(app, name), None)


def _neither(text: str) -> str:
    """Return why *text* has no limit, guessing what it was meant to be."""
    if _LIKE_A_NETWORK.fullmatch(text):
        return f"{text!r} is a network: limits count single addresses, and accounts"
    if _LIKE_AN_ADDRESS.fullmatch(text):
        return f"{text!r} is neither an address nor an account: is the address mistyped?"
    return f"{text!r} is neither an address nor an account, and has used nothing"


def _windows(
    app: App, subject: str, rates: tuple[Rate, ...], exempt: int | None
) -> list[WindowUse]:
    found = [_window_use(used, rates, exempt) for used in report(app.store, subject=subject)]
    seen = {each.span for each in found}
    unused = (rate for rate in rates if rate.window not in seen)
    found += [WindowUse(subject, r.window, r.limit, 0, 0, None, exempt) for r in unused]
    return found


def _window_use(used: Used, rates: tuple[Rate, ...], exempt: int | None) -> WindowUse:
    of = next((rate.limit for rate in rates if rate.window == used.span), None)
    return WindowUse(used.subject, used.span, of, used.used, used.refused, used.until, exempt)


def _exempting_entry(app: App, kind: str, name: str, entries: Sequence[Exemption]) -> int | None:
    """Return the number of the exemption that covers the whole client *name*."""
    if kind != "client" or "client" not in app.settings.whitelist.lifts:
        return None
    return next((entry.id for entry in entries if entry.covers(name)), None)


def _rates_of(app: App, name: str) -> tuple[Rate, ...]:
    """Return the limits in force of account *name*, as policyd applies them."""
    try:
        account = view.get(app.store, app.settings, name)
    except NotFound:
        return generous(app.settings).send
    return sending_limits(app.settings, account, now=time.time())
