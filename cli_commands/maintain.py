"""``gatepost maintain``: the periodic tasks of cron, all safe to repeat or to miss."""

from functools import partial

import click

from cli_commands.app import App
from cli_commands.command import command
from cli_commands.output import Output
from cli_commands.sendmail import post
from store.limits import expiry, whitelist
from store.logins import guesses
from store.people import notices


@command()
@click.option("--quiet", is_flag=True, help="Print errors only (for cron).")
@click.option("--no-notices", is_flag=True, help="Leave the waiting notices for another run.")
def maintain(app: App, output: Output, quiet: bool, no_notices: bool) -> None:
    """End expired exemptions, delete old counters and stored replies, send waiting notices.

    A notice that the mail server does not accept is tried again later (exit 1).
    Limits and exemptions end on time even if this never runs.
    Example: gatepost maintain --quiet
    """
    expired = whitelist.expire(app.store, change=app.change("expired"))
    deleted = expiry.delete_all_expired(app.store)
    guesses.delete_all_expired(app.store)
    sent = 0
    if not no_notices:
        deliver, postmaster = partial(post, app.settings), app.settings.site.postmaster
        sent = notices.send(app.store, deliver, postmaster=postmaster)
    if not quiet:
        output.message(
            f"{expired} exemptions expired, {deleted.windows} windows "
            f"and {deleted.answers} replies deleted, {sent} notices sent"
        )
    output.document(
        {
            "expired": expired,
            "windows": deleted.windows,
            "answers": deleted.answers,
            "notices": sent,
        }
    )
