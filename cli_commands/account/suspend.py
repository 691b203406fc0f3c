"""``gatepost account suspend`` and ``resume``."""

import time

import click

from cli_commands.account.view import rows_of
from cli_commands.app import App
from cli_commands.command import command
from cli_commands.output import Output
from cli_commands.parameters import Span, Until, reason_option
from store.people import suspension
from store.people.entitlements import Scope


@command()
@click.argument("name")
@click.option(
    "--scope", type=click.Choice(["sending", "everything"]), default="sending", show_default=True
)
@click.option(
    "--for", "seconds", type=Span(), metavar="7d", help="Duration. Default: until resumed."
)
@click.option("--until", type=Until(), metavar="DATE", help="Date of the end.")
@reason_option(
    required=True,
    text="Reason, recorded in the audit log; refusals may quote it to the account's owner.",
)
def suspend(
    app: App,
    output: Output,
    name: str,
    scope: Scope,
    seconds: int | None,
    until: int | None,
    reason: str,
) -> None:
    """Suspend an account from sending, or from everything. Mail to it still arrives.

    Nobody can log in to an account suspended from everything; open IMAP sessions last until
    `doveadm kick NAME`.

    Example: gatepost account suspend alice --reason "password phished, ticket 4711"
    """
    if seconds is not None and until is not None:
        raise click.UsageError("--for and --until exclude each other")
    if seconds == 0:
        raise click.BadParameter("it would end at once", param_hint="--for")
    if until is not None:
        seconds = max(1, until - int(time.time()))
    view = suspension.suspend(
        app.store, app.settings, name, scope=scope, seconds=seconds, change=app.change(reason)
    )
    output.record(view, rows_of(app, view))
    if scope == "everything":
        click.echo(
            f"gatepost: open sessions continue; to end them: doveadm kick {view.name}",
            err=True,
        )


@command()
@click.argument("name")
@reason_option()
def resume(app: App, output: Output, name: str, reason: str) -> None:
    """End every suspension of an account.

    Example: gatepost account resume alice
    """
    view = suspension.resume(app.store, app.settings, name, change=app.change(reason))
    output.record(view, rows_of(app, view))
