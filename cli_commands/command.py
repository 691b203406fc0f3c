"""The decorator of every command: the `App`, ``--json``, and checks of what was given."""

import sys
from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any

import click

from cli_commands.app import App
from cli_commands.output import Output


def command(
    group: click.Group | None = None, name: str | None = None
) -> Callable[..., click.Command]:
    """Make a click command whose function takes the `App` and the `Output` first.

    Every command has ``--json``, so that scripts need not remember which do.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        def run(as_json: bool, **options: Any) -> None:
            app = click.get_current_context().find_object(App)
            if app is None:
                raise RuntimeError("the command line has no App")
            _refuse_invalid_utf8(options)
            _refuse_secrets_from_a_terminal(options)
            function(app, Output(as_json=as_json), **options)

        wrapped = update_wrapper(run, function)
        flag = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
        make = click.command(name) if group is None else group.command(name)
        return make(flag(wrapped))

    return decorate


def _refuse_invalid_utf8(options: Mapping[str, Any]) -> None:
    """Refuse text that is not UTF-8: its lone surrogates fit into no database."""
    for value in options.values():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError:
                    raise click.UsageError(f"{text!r} is not UTF-8") from None


def _refuse_secrets_from_a_terminal(options: Mapping[str, Any]) -> None:
    """Refuse to read a secret from a terminal, which would show it."""
    if sys.stdin.isatty():
        for name in ("password_stdin", "identity_stdin"):
            if options.get(name):
                flag = f"--{name.replace('_', '-')}"
                hint = "; leave it out to be asked" if name == "password_stdin" else ""
                raise click.UsageError(f"{flag} reads a pipe or a file, not a terminal{hint}")
