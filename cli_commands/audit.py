"""``gatepost audit``: who changed what, when and why."""

import contextlib
import json

import click

from cli_commands.app import App
from cli_commands.command import command
from cli_commands.output import Output, when
from store.audit import MAX_LISTED, entries
from store.errors import NotFound
from store.limits.whitelist import parse_network
from store.people import view
from store.people.names import intended_name


@command()
@click.argument("subject", required=False, metavar="[ACCOUNT|NETWORK]")
@click.option("--limit", type=click.IntRange(1, MAX_LISTED), default=50, show_default=True)
def audit(app: App, output: Output, subject: str | None, limit: int) -> None:
    """Show the newest changes, to one account or network or to all.

    Example: gatepost audit alice
    """
    wanted = subject and _audit_subject(app, subject)
    changes = entries(app.store, subject=wanted, limit=limit)
    if subject and not changes and not _is_known(app, subject):
        raise NotFound(f"{subject!r} is neither a network nor an account, and never was")
    rows = (
        (when(e.at), e.who, e.action, e.subject, e.why, json.dumps(e.detail) if e.detail else "")
        for e in changes
    )
    output.listing(
        changes, ("when", "who", "what", "subject", "why", "detail"), rows, none="no changes"
    )


def _audit_subject(app: App, text: str) -> str:
    """Return the audit log's name for the network or account *text*."""
    with contextlib.suppress(ValueError):
        return parse_network(text)
    try:
        return view.get(app.store, app.settings, text).name
    except NotFound:  # removed, or renamed since
        return intended_name(text, app.settings.site)


def _is_known(app: App, text: str) -> bool:
    """Return whether *text* is a network or an account."""
    try:
        parse_network(text)
    except ValueError:
        try:
            view.get(app.store, app.settings, text)
        except NotFound:
            return False
    return True
