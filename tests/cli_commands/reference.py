"""docs/cli.md, made from the commands themselves: ``python -m tests.cli_commands.reference``."""

import sys
from typing import Any

import click

from cli import gatepost

HEAD = """\
# The gatepost command line

Made by `./dev fmt` from the commands' own help; a test compares.

| exit code | means |
|---|---|
| 0 | done |
| 1 | refused, or not found |
| 2 | the command line is wrong |
| 69 | the store is away, or has other tables than this release wants |
| 70 | a fault of gatepost; `GATEPOST_DEBUG=1` shows where |
| 78 | the configuration is wrong |

With `--json` a command prints one JSON document on stdout (times are Unix seconds, sizes bytes);
what it says to people goes to stderr.

Completion of commands and options, for bash (zsh and fish alike), in `~/.bashrc`:

```sh
eval "$(_GATEPOST_COMPLETE=bash_source gatepost)"
```
"""
WIDTH = 100


def reference() -> str:
    """Return the whole document."""
    parts = [HEAD]
    settings: dict[str, Any] = {**gatepost.context_settings, "terminal_width": WIDTH}
    top = click.Context(gatepost, info_name="gatepost", **settings)
    for name in gatepost.list_commands(top):
        command = gatepost.get_command(top, name)
        if isinstance(command, click.Group):
            parts.append(f"\n## gatepost {name}\n\n{command.help}\n")
            group = click.Context(command, info_name=name, parent=top)
            parts += [_section(each, group) for _, each in sorted(command.commands.items())]
        elif command is not None:
            parts.append(_section(command, top))
    return "".join(parts)


def _section(command: click.Command, parent: click.Context) -> str:
    context = click.Context(command, info_name=command.name, parent=parent, terminal_width=WIDTH)
    level = "##" if parent.parent is None else "###"
    return f"\n{level} {context.command_path}\n\n```\n{command.get_help(context).rstrip()}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
