"""``gatepost serve``: services as children of a small supervisor."""

import click

from cli_commands.app import App
from config.daemon import supervisor

SERVICES = ("policyd", "milter", "authd")


@click.command()
@click.argument(
    "services", nargs=-1, type=click.Choice(SERVICES), metavar="[policyd|milter|authd]..."
)
@click.pass_obj
def serve(app: App, services: tuple[str, ...]) -> None:
    """Run services in the foreground; with none named, all of them.

    SIGTERM drains and ends, SIGHUP reloads. Larger sites use the systemd units instead.
    Example: gatepost serve policyd
    """
    _ = app.settings  # a broken configuration is refused once, here
    chosen = tuple(dict.fromkeys(services)) or SERVICES
    raise click.exceptions.Exit(supervisor.run(chosen, app.path))
