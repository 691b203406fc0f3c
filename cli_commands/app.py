"""What every command needs: the settings, the store, who is asking, and how to answer."""

import os
import pwd
import sys
from collections.abc import Callable, Mapping
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any, Self

import click

from cli_commands.output import Output
from config.loader import find, load
from config.settings import Settings
from store import readiness
from store.audit import AuditContext
from store.engine import Store
from store.errors import StoreUnavailable


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
        if found := readiness.trouble(self.unchecked_store):
            raise StoreUnavailable(found)
        return self.unchecked_store

    @cached_property
    def unchecked_store(self) -> Store:
        """Return the store, also one whose tables are missing or old."""
        return Store(self.settings.store.url)

    def __enter__(self) -> Self:
        """Lend the state to one command."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store, if the command needed it."""
        if "unchecked_store" in vars(self):
            self.unchecked_store.close()

    def change(self, why: str = "") -> AuditContext:
        """Return the audit's *who* (the person behind sudo) with the reason given."""
        user = os.environ.get("SUDO_USER") or _own_name()
        return AuditContext(who=f"{user} (cli)", why=why)


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
            function(app, Output(as_json=as_json), **options)

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
