"""``gatepost audit``: who changed what, when and why."""

import json

import click

from cli_commands.app import Answer, App, command, when
from store import audit as trail


@command()
@click.argument("subject", required=False, metavar="[ACCOUNT|NETWORK]")
@click.option("--limit", type=click.IntRange(1, trail.MAX_LISTED), default=50, show_default=True)
def audit(app: App, answer: Answer, subject: str | None, limit: int) -> None:
    """Show the newest changes, of one account or network or of all.

    Example: gatepost audit alice
    """
    found = trail.entries(app.store, subject=subject, limit=limit)
    rows = (
        (when(e.at), e.who, e.action, e.subject, e.why, json.dumps(e.detail) if e.detail else "")
        for e in found
    )
    answer.listing(
        found, ("when", "who", "what", "subject", "why", "detail"), rows, none="no changes"
    )
