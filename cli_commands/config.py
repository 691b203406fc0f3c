"""``gatepost config``: check gatepost.toml, show the values in force."""

from collections.abc import Iterator

import click
from pydantic import BaseModel

from cli_commands.app import App
from cli_commands.command import command
from cli_commands.output import Output
from config.loader import ConfigError, load_with_warnings
from config.units import Address, Rate
from store.engine import Store


@click.group()
def config() -> None:
    """Check and show the configuration."""


@command(config)
def check(app: App, output: Output) -> None:
    """Check the configuration; if it has errors, print each on a line and exit with 78.

    With --json the document lists the errors, each with its key.
    Example: gatepost --config new.toml config check
    """
    try:
        settings, warnings = load_with_warnings(app.path)
    except ConfigError as error:
        problems = [{"key": p.key, "text": p.text} for p in error.problems]
        output.document({"file": str(app.path), "good": False, "problems": problems})
        raise
    for warning in warnings:
        click.echo(f"{app.path}: {warning.key}: {warning.text}", err=True)
    output.message(f"{app.path}: good; roles {', '.join(settings.roles)}")
    ignored = [{"key": w.key, "text": w.text} for w in warnings]
    output.document({"file": str(app.path), "good": True, "problems": [], "ignored": ignored})


@command(config)
def show(app: App, output: Output) -> None:
    """Show the value in force of every key; passwords are hidden.

    Example: gatepost config show
    """
    values = dict(_flat("", app.settings))
    values["store.url"] = Store(app.settings.store.url).shown_url
    output.record(values, ((key, _format_value(value)) for key, value in values.items()))


def _flat(prefix: str, model: BaseModel) -> Iterator[tuple[str, object]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        key = f"{prefix}{name}"
        if isinstance(value, BaseModel):
            yield from _flat(f"{key}.", value)
        elif isinstance(value, dict):
            for part, each in value.items():
                yield from _flat(f"{key}.{part}.", each)
        else:
            yield key, _as_json(value)


def _as_json(value: object) -> object:
    """Return *value*, as the file writes it if JSON has no such type."""
    if isinstance(value, tuple):
        return [_as_json(each) for each in value]
    return str(value) if isinstance(value, (Rate, Address)) else value


def _format_value(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_format_value(each) for each in value) + "]"
    if isinstance(value, str):
        return f'"{value}"'
    if value is None:
        return '""'
    return str(value).lower() if isinstance(value, bool) else str(value)
