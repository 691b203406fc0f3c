"""``gatepost account import`` and ``export``: whole files of accounts."""

import sys
import time
from collections.abc import Iterator
from typing import IO

import click

from cli_commands.account_graduation import show_over
from cli_commands.app import Answer, App, TextFile, command
from cli_commands.progress import bar
from cli_commands.terminal import escaped_lines
from config.loader import ConfigError, Problem
from store import identity, registrar
from store.errors import Refused
from store.registrar import Done, Plan
from store.registrar_export import Release, csv_text, dovecot_text
from store.registrar_lines import (
    COLUMNS,
    HeaderError,
    Line,
    Refusal,
    Skipped,
    csv_lines,
    dovecot_lines,
    passwd_lines,
    shadow_hashes,
)


@command(name="import")
@click.argument("file", type=TextFile)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "passwd", "dovecot"]),
    default="csv",
    show_default=True,
    help=f"csv: a header naming columns of {', '.join(COLUMNS)}; dovecot: its passwd-file.",
)
@click.option("--shadow", type=TextFile, metavar="FILE", help="The shadow(5) file of a passwd.")
@click.option("--role", help="For lines that name none.")
@click.option(
    "--refresh",
    is_flag=True,
    help="Bring role, condition, second mailbox of accounts that exist up to date, fill in a "
    "missing identity. A role with a smaller mailbox is a graduation (`account graduate`).",
)
@click.option("--keep-going", is_flag=True, help="Take the good lines when others are refused.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@click.option("--why", default="", help="Kept in the audit.")
def import_(
    app: App,
    answer: Answer,
    file: IO[str],
    form: str,
    shadow: IO[str] | None,
    role: str | None,
    refresh: bool,
    keep_going: bool,
    dry_run: bool,
    why: str,
) -> None:
    """Make accounts of a file; all of them, or none when a line is refused.

    All or none is one transaction: 50,000 lines keep SQLite's other writers waiting for 3 s.
    With --keep-going each 500 lines are one; a failure leaves those before it made. Of a
    passwd, system accounts are skipped: user ids below 1000, and neither shell nor password.

    Example: gatepost account import students.csv --role student --dry-run
    """
    if shadow is not None and form != "passwd":
        raise click.UsageError("--shadow goes with --format passwd")
    try:
        lines = _lines(file, form, shadow)
        with bar("reading"):
            todo = registrar.plan(app.store, app.settings, lines, role=role, refresh=refresh)
    except HeaderError as error:
        raise Refused(f"{file.name}: {error}") from None
    done = Done()
    if not dry_run and (keep_going or not todo.refused):
        done = _carried_out(app, todo, keep_going=keep_going, why=why)
    refused = [*todo.refused, *done.refused]
    _report(answer, todo, done, refused, dry_run=dry_run)
    if refused:
        nothing = "" if keep_going or dry_run else ", so nothing was changed"
        raise Refused(f"{len(refused)} lines refused{nothing}")


@command(name="export")
@click.option(
    "--format", "form", type=click.Choice(["csv", "dovecot"]), default="csv", show_default=True
)
@click.option("--with-hashes", is_flag=True, help="The password hashes, too (csv).")
@click.option(
    "--dovecot",
    "release",
    type=click.Choice(["2.3", "2.4"]),
    default="2.3",
    show_default=True,
    help="Whose word for a quota the passwd-file has.",
)
def export(app: App, answer: Answer, form: str, with_hashes: bool, release: Release) -> None:
    """Print all accounts: CSV that `import` reads, or a Dovecot passwd-file (with hashes).

    What the file does not hold is said on stderr.

    Example: gatepost account export --with-hashes > accounts.csv
    """
    if answer.as_json:
        raise click.UsageError("a file is no JSON; see `gatepost account list --json`")
    if form == "csv":
        lines = csv_text(app.store, with_hashes=with_hashes)
        left_out = "" if with_hashes else "password hashes (--with-hashes), "
        left_out += "identity numbers (only their keyed hashes exist), audit, undo of graduations"
    else:
        lines = dovecot_text(app.store, app.settings, now=int(time.time()), release=release)
        left_out = (
            "roles, conditions, aliases, limits of sending and attachments, marks of initial "
            "passwords, suspensions from sending; who is suspended from everything has no password"
        )
    shown = escaped_lines if sys.stdout.isatty() else str
    for line in lines:
        click.echo(shown(line), nl=False)
    click.echo(f"gatepost: not in the file: {left_out}", err=True)


def _lines(file: IO[str], form: str, shadow: IO[str] | None) -> Iterator[Line | Refusal | Skipped]:
    if form == "csv":
        return csv_lines(file)
    if form == "dovecot":
        return dovecot_lines(file)
    return passwd_lines(file, shadow_hashes(shadow) if shadow else None)


def _carried_out(app: App, todo: Plan, *, keep_going: bool, why: str) -> Done:
    try:
        path = app.settings.site.key_file
        key = identity.load_key(path) if todo.needs_key else None
    except identity.KeyFileError as error:
        raise ConfigError(app.path, [Problem("site.key_file", str(error))]) from None
    with bar("writing", todo.steps) as progress:
        return registrar.carry_out(
            app.store,
            todo,
            change=app.change(why),
            key=key,
            keep_going=keep_going,
            progress=progress,
        )


def _report(
    answer: Answer, todo: Plan, done: Done, refused: list[Refusal], *, dry_run: bool
) -> None:
    if refused and not answer.as_json:
        rows = ((str(each.number), each.name, each.reason) for each in refused)
        answer.listing(refused, ("line", "name", "reason"), rows, none="")
    show_over(answer, todo.graduates)
    if dry_run:
        done = Done(len(todo.new), len(todo.changed), len(todo.graduates))
    graduated = f"{done.graduated} graduated, " if done.graduated else ""
    skipped = f"{len(todo.skipped)} system accounts skipped, " if todo.skipped else ""
    answer.say(
        f"{done.added} made, {done.changed} changed, {graduated}{todo.unchanged} unchanged, "
        f"{skipped}{len(refused)} refused" + (" (nothing done: --dry-run)" if dry_run else "")
    )
    answer.document(
        {
            "added": done.added,
            "changed": done.changed,
            "graduated": done.graduated,
            "over": [each for each in todo.graduates if each.is_over],
            "unmeasured": [each for each in todo.graduates if each.used is None],
            "unchanged": todo.unchanged,
            "skipped": todo.skipped,
            "refused": refused,
            "dry_run": dry_run,
        }
    )
