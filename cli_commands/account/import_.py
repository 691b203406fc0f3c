"""``gatepost account import``: a registrar's or another server's file of accounts."""

from collections.abc import Iterator, Sequence

import click

from cli_commands.account.graduate import show_over
from cli_commands.app import App
from cli_commands.command import command
from cli_commands.output import Output
from cli_commands.parameters import LowerCase, reason_option
from cli_commands.progress import bar
from cli_commands.text_file import Text, TextFile
from config.loader import ConfigError, Problem
from store.errors import Refused
from store.people import identity
from store.registrar import plan, write
from store.registrar.csv_file import COLUMNS, csv_lines
from store.registrar.lines import HeaderError, Line, Refusal, Skipped
from store.registrar.notes import Note
from store.registrar.passwd_file import dovecot_lines, passwd_lines, shadow_entries
from store.registrar.plan import ImportPlan
from store.registrar.roles import read_roles
from store.registrar.write import NAMED, ImportResult


@command(name="import")
@click.argument("file", type=TextFile())
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "passwd", "dovecot"]),
    default="csv",
    show_default=True,
    help=f"csv: a first line naming columns of {', '.join(COLUMNS)}, as spreadsheets write it; "
    "passwd: passwd(5); dovecot: its passwd-file.",
)
@click.option(
    "--shadow", type=TextFile(), help="The shadow(5) file that belongs to a passwd(5) FILE."
)
@click.option(
    "--role",
    type=LowerCase(),
    help="Role of new accounts for which neither FILE nor --roles names one.",
)
@click.option(
    "--roles",
    type=TextFile(),
    help="File of a name and its role on each line, for lines of FILE without a role.",
)
@click.option(
    "--refresh",
    is_flag=True,
    help="Also update role, condition and second mailbox of existing accounts, and add a missing "
    "identity. A role with a smaller mailbox is a graduation (`account graduate`).",
)
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Accept lines whose home, mail location, owner, allowed networks or expiry date will be "
    "lost; without this option they are refused. Moving the mail is up to you.",
)
@click.option(
    "--keep-going", is_flag=True, help="Import the good lines even if others are refused."
)
@click.option("--dry-run", is_flag=True, help="Show what would change; write nothing.")
@reason_option()
def import_(
    app: App,
    output: Output,
    file: Text,
    form: str,
    shadow: Text | None,
    role: str | None,
    roles: Text | None,
    refresh: bool,
    accept_loss: bool,
    keep_going: bool,
    dry_run: bool,
    reason: str,
) -> None:
    """Create accounts from a file: all of them, or none if any line is refused.

    Each field of a passwd or passwd-file that cannot be kept as it is gets a note: a quota
    becomes the account's own mailbox size, `nologin` a suspension, the rest is dropped.

    The import is one transaction; 50,000 lines keep SQLite's other writers waiting for 3 s.
    With --keep-going every 500 lines are one transaction, and those before a failure stay.
    System accounts of a passwd are skipped: user ids below 1000, and neither shell nor password.

    Example: gatepost account import students.csv --role student --dry-run
    """
    if shadow is not None and form != "passwd":
        raise click.UsageError("--shadow goes with --format passwd")
    by_name = _roles(app, roles) if roles else {}
    try:
        lines = _lines(file, form, shadow)
        with bar("reading"):
            todo = plan.plan(
                app.store,
                app.settings,
                lines,
                role=role,
                roles=by_name,
                refresh=refresh,
                accept_loss=accept_loss,
            )
    except HeaderError as error:
        raise Refused(f"{file.name}: {error}") from None
    done = ImportResult()
    if not dry_run and (keep_going or not todo.refused):
        done = _carry_out(app, todo, keep_going=keep_going, reason=reason)
    refused = [*todo.refused, *done.refused]
    _report(output, todo, done, refused, dry_run=dry_run)
    if refused:
        nothing = "" if keep_going or dry_run else ", so nothing was changed"
        raise Refused(f"{len(refused)} lines refused{nothing}")


def _roles(app: App, file: Text) -> dict[str, str]:
    try:
        return read_roles(app.settings, file.checked())
    except Refused as error:
        text = str(error)
        raise Refused(text if text.startswith(file.name) else f"{file.name}: {text}") from None


def _lines(file: Text, form: str, shadow: Text | None) -> Iterator[Line | Refusal | Skipped]:
    if form == "csv":
        return csv_lines(file.lines)
    if form == "dovecot":
        return dovecot_lines(file.lines)
    return passwd_lines(file.lines, shadow_entries(shadow.lines) if shadow else None)


def _carry_out(app: App, todo: ImportPlan, *, keep_going: bool, reason: str) -> ImportResult:
    try:
        path = app.settings.site.key_file
        key = identity.load_key(path) if todo.needs_key else None
    except identity.KeyFileError as error:
        raise ConfigError(app.path, [Problem("site.key_file", str(error))]) from None
    with bar("writing", todo.steps) as progress:
        return write.carry_out(
            app.store,
            todo,
            change=app.change(reason),
            key=key,
            keep_going=keep_going,
            progress=progress,
        )


def _report(
    output: Output,
    todo: ImportPlan,
    done: ImportResult,
    refused: Sequence[Refusal],
    *,
    dry_run: bool,
) -> None:
    if not output.as_json:
        _print_tables(output, todo.notes, refused)
    show_over(output, todo.graduates)
    if dry_run:
        done = ImportResult(len(todo.new), len(todo.changed), len(todo.graduates))
    graduated = f"{done.graduated} graduated, " if done.graduated else ""
    skipped = f"{len(todo.skipped)} system accounts skipped, " if todo.skipped else ""
    if todo.roles_left:
        named = ", ".join(todo.roles_left[:NAMED])
        more = len(todo.roles_left) - NAMED
        also = f" and {more} more" if more > 0 else ""
        output.message(f"named in --roles, but on no line of the file: {named}{also}")
    output.message(
        f"{done.added} created, {done.changed} changed, {graduated}{todo.unchanged} unchanged, "
        f"{skipped}{len(refused)} refused" + (" (nothing changed: --dry-run)" if dry_run else "")
    )
    output.document(
        {
            "added": done.added,
            "changed": done.changed,
            "graduated": done.graduated,
            "over": [each for each in todo.graduates if each.is_over],
            "unmeasured": [each for each in todo.graduates if each.used is None],
            "unchanged": todo.unchanged,
            "skipped": todo.skipped,
            "notes": todo.notes,
            "roles_left": todo.roles_left,
            "refused": refused,
            "dry_run": dry_run,
        }
    )


def _print_tables(output: Output, notes: Sequence[Note], refused: Sequence[Refusal]) -> None:
    if notes:
        note_rows = ((str(n.number), n.name, n.field, n.value, n.meaning) for n in notes)
        output.listing(
            notes, ("line", "name", "field", "value", "what it means"), note_rows, none=""
        )
    if refused:
        rows = ((str(each.number), each.name, each.reason) for each in refused)
        output.listing(refused, ("line", "name", "reason"), rows, none="")
