"""``gatepost account export``: all accounts as a file."""

import sys
import time

import click

from cli_commands.app import App
from cli_commands.command import command
from cli_commands.output import Output
from cli_commands.terminal import escaped_lines
from store.registrar.export import Release, csv_text, dovecot_text


@command(name="export")
@click.option(
    "--format", "form", type=click.Choice(["csv", "dovecot"]), default="csv", show_default=True
)
@click.option("--with-hashes", is_flag=True, help="Include the password hashes (csv).")
@click.option(
    "--dovecot",
    "release",
    type=click.Choice(["2.3", "2.4"]),
    default="2.3",
    show_default=True,
    help="Dovecot release whose quota syntax to write.",
)
def export(app: App, output: Output, form: str, with_hashes: bool, release: Release) -> None:
    """Print all accounts: CSV that `import` reads, or a Dovecot passwd-file (with hashes).

    What the file cannot hold is listed on stderr.

    Example: gatepost account export --with-hashes > accounts.csv
    """
    if output.as_json:
        raise click.UsageError("export writes no JSON; use `gatepost account list --json`")
    if form == "csv":
        lines = csv_text(app.store, with_hashes=with_hashes)
        left_out = "" if with_hashes else "password hashes (--with-hashes), "
        left_out += (
            "identity numbers (only their keyed hashes exist), the audit log, undo of graduations"
        )
    else:
        lines = dovecot_text(app.store, app.settings, now=int(time.time()), release=release)
        left_out = (
            "roles, conditions, aliases, sending and attachment limits, initial-password marks, "
            "suspensions from sending; accounts suspended from everything have no password in it"
        )
    shown = escaped_lines if sys.stdout.isatty() else str
    for line in lines:
        click.echo(shown(line), nl=False)
    click.echo(f"gatepost: not in the file: {left_out}", err=True)
