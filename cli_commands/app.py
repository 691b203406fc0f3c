"""What every command needs: the settings, the store, who is asking, and how to answer."""

import contextlib
import dataclasses
import json
import os
import pwd
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any, Self

import click
from rich.console import Console
from rich.table import Table

from cli_commands.terminal import escaped, escaped_json, escaped_lines
from config.loader import find, load
from config.settings import Settings
from config.units import parse_moment, parse_span
from store import readiness
from store.audit import Change
from store.engine import Store
from store.errors import StoreUnavailable

LONGEST_YEARS = 10  # longer is said with --permanent, or by leaving the span out
LONGEST_SPAN = LONGEST_YEARS * 366 * 86400


class App:
    """The command line's state; reads the configuration when first needed."""

    def __init__(self, config: str | None) -> None:
        """Remember *config*, the value of ``--config``."""
        self.path: Path = find(config)

    @cached_property
    def settings(self) -> Settings:
        """Return the settings; raises `ConfigError`."""
        return load(self.path)

    @cached_property
    def store(self) -> Store:
        """Return the store; raises `StoreUnavailable` when it cannot be used as it is."""
        if found := readiness.trouble(self.store_as_it_is):
            raise StoreUnavailable(found)
        return self.store_as_it_is

    @cached_property
    def store_as_it_is(self) -> Store:
        """Return the store, also one whose tables are missing or old."""
        return Store(self.settings.store.url)

    def __enter__(self) -> Self:
        """Lend the state to one command."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store, if the command needed it."""
        if "store_as_it_is" in vars(self):
            self.store_as_it_is.close()

    def change(self, why: str = "") -> Change:
        """Return the audit's *who* (the person behind sudo) with the reason given."""
        user = os.environ.get("SUDO_USER") or _own_name()
        return Change(who=f"{user} (cli)", why=why)


def _own_name() -> str:
    """Return the user's name; in a container a number may have none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def command(
    group: click.Group | None = None, name: str | None = None
) -> Callable[..., click.Command]:
    """Make a click command that gets the `App` first and understands ``--json``.

    The function gets ``as_json`` only if it asks for it by that name in its options;
    every command has the flag so that scripts need not remember which.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        def run(as_json: bool, **options: Any) -> None:
            app = click.get_current_context().find_object(App)
            if app is None:
                raise RuntimeError("the command line has no App")
            _refuse_what_is_no_text(options)
            _refuse_a_terminal(options)
            function(app, Answer(as_json=as_json), **options)

        wrapped = update_wrapper(run, function)
        flag = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
        make = click.command(name) if group is None else group.command(name)
        return make(flag(wrapped))

    return decorate


def _refuse_what_is_no_text(options: Mapping[str, Any]) -> None:
    """Bytes that are no UTF-8 arrive as lone surrogates, which no database takes."""
    for value in options.values():
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, str) and not each.isascii():
                try:
                    each.encode()
                except UnicodeEncodeError:
                    raise click.UsageError(f"{each!r} is not UTF-8") from None


def _refuse_a_terminal(options: Mapping[str, Any]) -> None:
    """What is typed where a pipe was promised would be seen on the screen."""
    if sys.stdin.isatty():
        for name in ("password_stdin", "identity_stdin"):
            if options.get(name):
                flag = f"--{name.replace('_', '-')}"
                asked = "; leave it out to be asked" if name == "password_stdin" else ""
                raise click.UsageError(f"{flag} reads a pipe or a file, not a terminal{asked}")


class Answer:
    """Where a command's result goes: a table for people, or one JSON document."""

    def __init__(self, *, as_json: bool) -> None:
        """Answer in JSON when *as_json*."""
        self.as_json = as_json

    def say(self, text: str) -> None:
        """Tell people what was done; in JSON mode the document says it."""
        click.echo(escaped_lines(text), err=self.as_json)

    def document(self, value: object) -> None:
        """Print *value* if JSON was asked for."""
        if self.as_json:
            click.echo(escaped_json(json.dumps(plain(value), ensure_ascii=False, indent=2)))

    def record(self, value: object, rows: Iterable[tuple[str, str]]) -> None:
        """Print one thing: *value* as JSON, or *rows* of name and text."""
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
        """Print many things: *value* as JSON, or a table; *none* when there are none."""
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
    """Return where tables go: the terminal's width, or wide enough for a pipe."""
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
    """Return *seconds* of Unix time in the operator's own zone."""
    if seconds is None:
        return never
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


class Span(click.ParamType[int]):
    """A time span such as 60m, in seconds; no time at all and more than ten years are slips."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return seconds."""
        try:
            seconds = value if isinstance(value, int) else parse_span(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not 0 < seconds <= LONGEST_SPAN:
            self.fail(f"{value!r}: a time span is between 1s and {LONGEST_YEARS} years", param, ctx)
        return seconds


class Until(click.ParamType[int]):
    """A date (2027-01-31), a time (2027-01-31T12:00), or a span from now (30d); Unix seconds."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return Unix seconds; a time without a zone is the operator's own."""
        if isinstance(value, int):
            return value
        now = datetime.now(UTC)
        with contextlib.suppress(ValueError):
            parse_span(value)  # a span, then, and nothing else
            return int(now.timestamp()) + Span().convert(value, param, ctx)
        try:
            at = parse_moment(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no date (2027-01-31) and no span (30d)", param, ctx)
        if at <= now:
            self.fail(f"{value} is over already", param, ctx)
        return int(at.timestamp())
