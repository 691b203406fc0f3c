"""``gatepost serve``: the services, run by a small supervisor (docs/containers.md)."""

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
    """Run services in the foreground, all of them unless some are named.

    For containers and machines without systemd; elsewhere use the systemd units. SIGTERM drains
    and stops them, SIGHUP reloads the configuration.
    Example: gatepost serve policyd
    """
    _ = app.settings  # fail here, once, if the configuration has errors
    chosen = tuple(dict.fromkeys(services)) or SERVICES
    raise click.exceptions.Exit(supervisor.run(chosen, app.path))
