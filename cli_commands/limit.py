"""``gatepost limit``: what counts against the sending limits now."""

import time

import click

from cli_commands.app import Answer, App, command, when
from config.units import Rate, format_span
from store import accounts, subjects
from store.directory import effective, generous, parse_rates
from store.errors import NotFound
from store.names import canonical
from store.usage_report import Used, report


@click.group()
def limit() -> None:
    """Show the sending limits in use."""


@command(limit)
@click.argument("subject", required=False, metavar="[ADDRESS|ACCOUNT]")
def show(app: App, answer: Answer, subject: str | None) -> None:
    """Show what an address or an account has used, or all that have used anything.

    Example: gatepost limit show 192.0.2.7
    """
    found = report(app.store, subject=_subject(app, subject) if subject else None)
    rows = (_row(used, _limit_of(app, used)) for used in found)
    columns = ("who", "per", "used", "refused", "empty at")
    answer.listing(found, columns, rows, none="nothing used")


def _row(used: Used, limit_: int | None) -> tuple[str, str, str, str, str]:
    of = "" if limit_ is None else f" of {limit_}"
    return (
        used.subject,
        format_span(used.span),
        f"{used.used}{of}",
        str(used.refused),
        when(used.until),
    )


def _subject(app: App, text: str) -> str:
    try:
        return subjects.client(text, ipv6_prefix=app.settings.limits.ipv6_prefix)
    except ValueError:
        return subjects.account(_account(app, text))


def _account(app: App, text: str) -> str:
    try:
        return accounts.get(app.store, app.settings, text).name
    except NotFound:
        # A removed account, or a login that is no account, may still have used something.
        return canonical(text, app.settings.site.domains)


def _limit_of(app: App, used: Used) -> int | None:
    kind, _, name = used.subject.partition(" ")
    rates = app.settings.limits.client if kind == "client" else _rates_of(app, name)
    return next((rate.limit for rate in rates if rate.window == used.span), None)


def _rates_of(app: App, name: str) -> tuple[Rate, ...]:
    """Return the limits in force, as policyd sees them."""
    try:
        view = accounts.get(app.store, app.settings, name)
    except NotFound:
        return generous(app.settings).send
    of_role = (app.settings.roles.get(view.role) or generous(app.settings)).send
    own = parse_rates(view.send)
    return effective(own, view.send_until, of_role=of_role, now=time.time())
