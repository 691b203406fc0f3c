"""``gatepost audit``: who changed what, when and why."""

import contextlib
import json

import click

from cli_commands.app import App, command
from cli_commands.output import Output, when
from store import audit as trail
from store.errors import NotFound
from store.limits.whitelist import parse_network
from store.people import view
from store.people.names import intended_name


@command()
@click.argument("subject", required=False, metavar="[ACCOUNT|NETWORK]")
@click.option("--limit", type=click.IntRange(1, trail.MAX_LISTED), default=50, show_default=True)
def audit(app: App, answer: Output, subject: str | None, limit: int) -> None:
    """Show the newest changes, of one account or network or of all.

    Example: gatepost audit alice
    """
    wanted = subject and _subject(app, subject)
    found = trail.entries(app.store, subject=wanted, limit=limit)
    if subject and not found and not _is_known(app, subject):
        raise NotFound(f"{subject!r} is neither a network nor an account, now or before")
    rows = (
        (when(e.at), e.who, e.action, e.subject, e.why, json.dumps(e.detail) if e.detail else "")
        for e in found
    )
    answer.listing(
        found, ("when", "who", "what", "subject", "why", "detail"), rows, none="no changes"
    )


def _subject(app: App, text: str) -> str:
    """Return what the audit calls the network or account that *text* means."""
    with contextlib.suppress(ValueError):
        return parse_network(text)
    try:
        return view.get(app.store, app.settings, text).name
    except NotFound:  # removed, or renamed since
        return intended_name(text, app.settings.site)


def _is_known(app: App, text: str) -> bool:
    """Return whether *text* is a network or an account, changed or not."""
    try:
        parse_network(text)
    except ValueError:
        try:
            view.get(app.store, app.settings, text)
        except NotFound:
            return False
    return True
