"""``gatepost maintain``: what cron runs; everything here may run twice or not at all."""

from functools import partial

import click

from cli_commands.app import App, command
from cli_commands.output import Output
from cli_commands.sendmail import post
from store.limits import expiry, whitelist
from store.people import notices


@command()
@click.option("--quiet", is_flag=True, help="Say nothing unless something went wrong (for cron).")
@click.option("--no-notices", is_flag=True, help="Leave the mails to people for another run.")
def maintain(app: App, answer: Output, quiet: bool, no_notices: bool) -> None:
    """Expire the whitelist, forget old counters and answers, send the notices that wait.

    A notice that the mail server does not take is tried again later (exit 1).
    Nothing depends on it: limits and exemptions end on their own time.
    Example: gatepost maintain --quiet
    """
    expired = whitelist.expire(app.store, change=app.change("expired"))
    forgotten = expiry.forget_expired(app.store)
    sent = 0
    if not no_notices:
        deliver, postmaster = partial(post, app.settings), app.settings.site.postmaster
        sent = notices.send(app.store, deliver, postmaster=postmaster)
    if not quiet:
        answer.say(
            f"{expired} exemptions expired, {forgotten.windows} windows "
            f"and {forgotten.answers} answers forgotten, {sent} notices sent"
        )
    answer.document(
        {
            "expired": expired,
            "windows": forgotten.windows,
            "answers": forgotten.answers,
            "notices": sent,
        }
    )
