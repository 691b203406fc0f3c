"""``gatepost audit``: who changed what, when and why."""

import contextlib
import json

import click

from cli_commands.app import Answer, App, command, when
from store import accounts
from store import audit as trail
from store.errors import NotFound
from store.names import named
from store.whitelist import parse_network


@command()
@click.argument("subject", required=False, metavar="[ACCOUNT|NETWORK]")
@click.option("--limit", type=click.IntRange(1, trail.MAX_LISTED), default=50, show_default=True)
def audit(app: App, answer: Answer, subject: str | None, limit: int) -> None:
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
        return accounts.get(app.store, app.settings, text).name
    except NotFound:  # removed, or renamed since
        return named(text, app.settings.site)


def _is_known(app: App, text: str) -> bool:
    """Return whether *text* is a network or an account, changed or not."""
    try:
        parse_network(text)
    except ValueError:
        try:
            accounts.get(app.store, app.settings, text)
        except NotFound:
            return False
    return True
