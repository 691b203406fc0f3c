"""``gatepost config``: is the file right, and what is in force."""

from collections.abc import Iterator

import click
from pydantic import BaseModel

from cli_commands.app import App, command
from cli_commands.output import Output
from config.loader import ConfigError, load_with_warnings
from config.units import Address, Rate
from store.engine import Store


@click.group()
def config() -> None:
    """Check and show the configuration."""


@command(config)
def check(app: App, answer: Output) -> None:
    """Read the configuration; exit 78 with each problem on a line when it is wrong.

    With --json the problems are in the document, each with its key.
    Example: gatepost --config new.toml config check
    """
    try:
        settings, warnings = load_with_warnings(app.path)
    except ConfigError as error:
        problems = [{"key": each.key, "text": each.text} for each in error.problems]
        answer.document({"file": str(app.path), "good": False, "problems": problems})
        raise
    for each in warnings:
        click.echo(f"{app.path}: {each.key}: {each.text}", err=True)
    answer.say(f"{app.path}: good; roles {', '.join(settings.roles)}")
    ignored = [{"key": each.key, "text": each.text} for each in warnings]
    answer.document({"file": str(app.path), "good": True, "problems": [], "ignored": ignored})


@command(config)
def show(app: App, answer: Output) -> None:
    """Show every key with the value in force; passwords are not shown.

    Example: gatepost config show
    """
    values = dict(_flat("", app.settings))
    values["store.url"] = Store(app.settings.store.url).shown_url
    answer.record(values, ((key, _shown(value)) for key, value in values.items()))


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
            yield key, _told(value)


def _told(value: object) -> object:
    """Return *value* as the file writes it, where JSON has no such type."""
    if isinstance(value, tuple):
        return [_told(each) for each in value]
    return str(value) if isinstance(value, (Rate, Address)) else value


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_shown(each) for each in value) + "]"
    if isinstance(value, str):
        return f'"{value}"'
    if value is None:
        return '""'
    return str(value).lower() if isinstance(value, bool) else str(value)
