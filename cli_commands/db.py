"""``gatepost db``: the schema of the store."""

import click

from cli_commands.app import App, command
from cli_commands.output import Output
from config.loader import ConfigError, Problem
from store import schema
from store.people import identity


@click.group()
def db() -> None:
    """Make or upgrade the tables of the store."""


@command(db)
def upgrade(app: App, answer: Output) -> None:
    """Bring the tables to this release's version, and make the secret key file.

    Safe to repeat. Example: gatepost db upgrade
    """
    store = app.unchecked_store
    before, after = schema.upgrade(store)
    try:
        made = identity.make_key(app.settings.site.key_file)
    except identity.KeyFileError as error:
        raise ConfigError(app.path, [Problem("site.key_file", str(error))]) from None
    changed = f"{before or 'empty'} -> {after}" if before != after else f"{after} already"
    answer.say(f"store {store.shown_url}: {changed}")
    if made:
        answer.say(
            f"made {app.settings.site.key_file}: keep it safe, and the same on every machine"
        )
    answer.document({"before": before, "after": after, "key_made": made})
