"""The result of a command: text and tables, or one JSON document."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from cli_commands.terminal import escaped, escaped_json, escaped_lines


class Output:
    """The printer of a command's result."""

    def __init__(self, *, as_json: bool) -> None:
        """Print JSON if *as_json*, else text."""
        self.as_json = as_json

    def message(self, text: str) -> None:
        """Print *text* for people: on stderr if stdout holds a JSON document."""
        click.echo(escaped_lines(text), err=self.as_json)

    def document(self, value: object) -> None:
        """Print *value* if JSON was asked for."""
        if self.as_json:
            click.echo(escaped_json(json.dumps(plain(value), ensure_ascii=False, indent=2)))

    def record(self, value: object, rows: Iterable[tuple[str, str]]) -> None:
        """Print one item: *value* as JSON, or *rows* of name and text."""
        if self.as_json:
            self.document(value)
            return
        table = Table(show_header=False, box=None, pad_edge=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, text in rows:
            table.add_row(name, escaped(text))
        console().print(table)

    def listing(
        self, value: object, columns: Sequence[str], rows: Iterable[Sequence[str]], *, none: str
    ) -> None:
        """Print a list: *value* as JSON, or *rows* as a table, or *none* if there are none."""
        if self.as_json:
            self.document(value)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*map(escaped, row))
        if table.row_count:
            console().print(table)
        else:
            click.echo(none)


def console() -> Console:
    """Return a console as wide as the terminal, or 200 columns for a pipe or file."""
    return Console(width=None if sys.stdout.isatty() else 200, markup=False, highlight=False)


def plain(value: object) -> object:
    """Return *value* as JSON can hold it: times stay Unix seconds, sizes bytes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def when(seconds: int | None, *, never: str = "-") -> str:
    """Return *seconds* of Unix time as local time."""
    if seconds is None:
        return never
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
