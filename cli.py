"""The gatepost command line: one group whose commands are imported on first use.

Exit codes: 0 done, 1 refused or not found, 2 usage, 69 store unavailable, 70 a bug in
gatepost, 78 bad configuration (sysexits.h's EX_UNAVAILABLE, EX_SOFTWARE and EX_CONFIG).
"""

import importlib
import os
import sys
import traceback
import warnings
from enum import IntEnum
from getpass import GetPassWarning
from typing import NoReturn

import click

from config.loader import ConfigError
from store.errors import Refused, StoreUnavailable

# command → the module in cli_commands that defines it, under the same name
COMMANDS = {
    "account": "account.commands",
    "audit": "audit",
    "config": "config",
    "db": "db",
    "limit": "limit",
    "maintain": "maintain",
    "serve": "serve",
    "setup": "setup",
    "whitelist": "whitelist",
}
MAX_MESSAGE = 200  # characters of an exception; its traceback has the whole text


class Exit(IntEnum):
    """Exit codes, which scripts rely on."""

    REFUSED = 1
    UNAVAILABLE = 69
    BUG = 70
    CONFIG = 78


class Commands(click.Group):
    """A group that imports a command on first use, and reports every expected error."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """Return the command *name*, importing its module."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"cli_commands.{COMMANDS[name]}")
        command = getattr(module, name)
        if not isinstance(command, click.Command):
            raise TypeError(f"cli_commands.{COMMANDS[name]}.{name} is not a command")
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; turn expected errors into a message and an exit code."""
        try:
            with warnings.catch_warnings():
                # getpass only warns, then shows the password as it is typed.
                warnings.simplefilter("error", GetPassWarning)
                return super().invoke(ctx)
        except click.ClickException as error:
            from cli_commands.terminal import escaped_lines

            # click declares it final, but nothing else reaches the text it prints.
            error.message = escaped_lines(error.message)  # type: ignore[misc]
            raise
        except GetPassWarning:
            raise click.UsageError(
                "there is no terminal to ask for the password: give it with --password-stdin"
            ) from None
        except ConfigError as error:
            _stop(str(error), Exit.CONFIG)
        except StoreUnavailable as error:
            _stop(str(error), Exit.UNAVAILABLE)
        except Refused as error:
            _stop(str(error), Exit.REFUSED)


def _stop(text: str, code: Exit) -> NoReturn:
    from cli_commands.terminal import escaped

    for line in text.split("\n"):
        click.echo(f"gatepost: {escaped(line)}", err=True)
    raise click.exceptions.Exit(code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", metavar="FILE", help="Default: $GATEPOST_CONFIG, then /etc/gatepost/gatepost.toml."
)
@click.version_option(package_name="gatepost")
@click.pass_context
def gatepost(ctx: click.Context, config: str | None) -> None:
    """Sending limits, attachment limits, quotas and logins for Postfix and Dovecot."""
    from cli_commands.app import App

    ctx.obj = ctx.with_resource(App(config))


def main() -> None:
    """Run the command line; a bug exits with 70, so that it never looks like a refusal (1)."""
    try:
        gatepost(prog_name="gatepost")
    except Exception as error:  # noqa: BLE001 - the outermost edge
        if os.environ.get("GATEPOST_DEBUG"):
            traceback.print_exc()
        text = " ".join(str(error).split())[:MAX_MESSAGE]
        click.echo(
            f"gatepost: bug in gatepost, {type(error).__name__}: {text!r}; "
            "GATEPOST_DEBUG=1 shows the traceback",
            err=True,
        )
        sys.exit(Exit.BUG)
