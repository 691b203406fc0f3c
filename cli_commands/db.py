"""``gatepost db``: the schema of the store."""

import click

from cli_commands.app import App
from cli_commands.command import command
from cli_commands.output import Output
from config.loader import ConfigError, Problem
from store import schema
from store.people import identity


@click.group()
def db() -> None:
    """Create or upgrade the tables of the store."""


@command(db)
def upgrade(app: App, output: Output) -> None:
    """Upgrade the tables to this release's version and create the secret key file.

    Safe to repeat. Example: gatepost db upgrade
    """
    store = app.unchecked_store
    before, after = schema.upgrade(store)
    try:
        created = identity.make_key(app.settings.site.key_file)
    except identity.KeyFileError as error:
        raise ConfigError(app.path, [Problem("site.key_file", str(error))]) from None
    changed = f"{before or 'empty'} -> {after}" if before != after else f"{after} already"
    output.message(f"store {store.shown_url}: {changed}")
    if created:
        output.message(
            f"created {app.settings.site.key_file}: back it up, and copy it to every other machine"
        )
    output.document({"before": before, "after": after, "key_made": created})
