"""``gatepost account suspend`` and ``resume``."""

import time

import click

from cli_commands.account.view import rows_of
from cli_commands.app import App, command
from cli_commands.output import Output
from cli_commands.parameters import Span, Until
from store.people import suspension
from store.people.entitlements import Scope


@command()
@click.argument("name")
@click.option(
    "--scope", type=click.Choice(["sending", "everything"]), default="sending", show_default=True
)
@click.option(
    "--for", "seconds", type=Span(), metavar="7d", help="How long. Default: until resumed."
)
@click.option("--until", type=Until(), metavar="DATE", help="When it ends.")
@click.option("--reason", required=True, help="Why; the person may be told.")
def suspend(
    app: App,
    answer: Output,
    name: str,
    scope: Scope,
    seconds: int | None,
    until: int | None,
    reason: str,
) -> None:
    """Stop an account from sending, or from everything; mail to it still arrives.

    Nobody can log in to an account stopped from everything; who is logged in (IMAP) stays
    so until `doveadm kick NAME`.

    Example: gatepost account suspend alice --reason "password phished, ticket 4711"
    """
    if seconds is not None and until is not None:
        raise click.UsageError("--for and --until exclude each other")
    if seconds == 0:
        raise click.BadParameter("it would be over at once", param_hint="--for")
    if until is not None:
        seconds = max(1, until - int(time.time()))
    stopped = suspension.suspend(
        app.store, app.settings, name, scope=scope, seconds=seconds, change=app.change(reason)
    )
    answer.record(stopped, rows_of(app, stopped))
    if scope == "everything":
        click.echo(
            f"gatepost: sessions that are open go on; end them: doveadm kick {stopped.name}",
            err=True,
        )


@command()
@click.argument("name")
@click.option("--reason", default="", help="Reason, recorded in the audit log.")
def resume(app: App, answer: Output, name: str, reason: str) -> None:
    """End every suspension of an account.

    Example: gatepost account resume alice
    """
    free = suspension.resume(app.store, app.settings, name, change=app.change(reason))
    answer.record(free, rows_of(app, free))
