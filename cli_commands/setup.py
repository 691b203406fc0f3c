"""``gatepost setup``: adds gatepost to a running mail server, and removes it again."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click

from cli_commands.app import App
from cli_commands.command import command
from cli_commands.output import Output
from config.setup import files
from config.setup.dovecot_service import DovecotSetup
from config.setup.part import CannotSetUp, SetupNote, SetupPart
from config.setup.postfix_service import PostfixSetup
from config.setup.record import Record
from config.setup.system import SystemSetup
from store.errors import Refused

PARTS = ("system", "dovecot", "postfix")


@dataclass(frozen=True, slots=True)
class PartResult:
    """What was done, or would be done, for one part; printed by ``--json``."""

    part: str
    diff: str
    is_done: bool
    notes: list[SetupNote] = field(default_factory=list)


@command(name="setup")
@click.argument(
    "names", metavar="PART", nargs=-1, required=True, type=click.Choice([*PARTS, "all"])
)
@click.option("--diff", is_flag=True, help="Show what would change (the default).")
@click.option("--apply", is_flag=True, help="Make the changes and reload the programs concerned.")
@click.option("--undo", is_flag=True, help="Restore what was changed; with --diff, show how.")
@click.option(
    "--postfix",
    "postfix_folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/etc/postfix"),
    show_default=True,
    help="Folder of main.cf.",
)
@click.option(
    "--quota-warnings", is_flag=True, help="dovecot: mail users whose mailbox is nearly full."
)
@click.option(
    "--end-other-passdbs",
    is_flag=True,
    help="dovecot: switch off the passdbs and userdbs that are not gatepost's.",
)
def setup(
    app: App,
    output: Output,
    names: tuple[str, ...],
    diff: bool,
    apply: bool,
    undo: bool,
    postfix_folder: Path,
    quota_warnings: bool,
    end_other_passdbs: bool,
) -> None:
    """Add gatepost to this machine's mail server, or remove it again.

    PART is system (users, folders, units, cron), dovecot, postfix, or all: the parts set up
    before. Without --apply or --undo nothing changes. The diff shows each line of yours that
    would change, and --undo restores it.

    Example: gatepost setup postfix --apply
    """
    if apply and (undo or diff):
        raise click.UsageError("--apply cannot be combined with --diff or --undo")
    if (apply or undo) and os.geteuid() != 0:
        raise click.UsageError("changing the mail server requires root")
    parts: dict[str, Callable[[], SetupPart]] = {
        "system": lambda: SystemSetup(app.path),
        "dovecot": lambda: DovecotSetup(
            app.path, postfix_folder, warnings=quota_warnings, end_others=end_other_passdbs
        ),
        "postfix": lambda: PostfixSetup(app.path, postfix_folder),
    }
    chosen = [
        part
        for part in (make() for make in parts.values())
        if part.name in names or ("all" in names and _is_set_up(part))
    ]
    results: list[PartResult] = []
    try:
        for part in reversed(chosen) if undo else chosen:
            if undo:
                results.append(_undo(output, part, only_show=diff))
            else:
                results.append(_set_up(output, part, apply=apply))
    except CannotSetUp as error:
        raise Refused(str(error)) from None
    output.document({"schema": 1, "parts": results})


def _is_set_up(part: SetupPart) -> bool:
    return not Record.load(part.name).is_empty or part.is_installed_by_hand()


def _set_up(output: Output, part: SetupPart, *, apply: bool) -> PartResult:
    plan = part.plan()
    shown = _show(output, plan.changes)
    for note in plan.notes:
        output.message(f"note: {note.text}" + (f"\n      {note.mend}" if note.mend else ""))
    result = PartResult(part.name, shown, apply, plan.notes)
    if not apply:
        then = f"nothing was changed; `gatepost setup {part.name} --apply` makes these changes"
        output.message(f"{part.name}: {then if shown else 'already set up'}")
        return result
    part.check()
    before, record = Record.load(part.name), Record.load(part.name)
    record.add(plan.changes)
    record.save()  # before the changes it describes
    record.folders += map(str, files.write(plan.changes))
    record.save()
    try:
        part.activate()
    except CannotSetUp:
        files.write(files.reverse(plan.changes))
        before.save()
        part.after_undo()
        output.message(f"{part.name}: restored what this run had changed")
        raise
    output.message(f"{part.name}: done; `gatepost setup {part.name} --undo` removes it again")
    return result


def _undo(output: Output, part: SetupPart, *, only_show: bool) -> PartResult:
    record = Record.load(part.name)
    if record.is_empty:
        output.message(f"{part.name}: not set up on this machine")
        return PartResult(part.name, "", is_done=False)
    changes, edited = record.undo(part.clean)
    result = PartResult(part.name, _show(output, changes), not only_show)
    kept = {each.path for each in changes if each.before == each.after}
    for path in sorted(set(edited) - kept):
        output.message(f"{path} was edited since: only gatepost's part of it is removed")
    if only_show:
        output.message(f"{part.name}: nothing was changed")
        return result
    part.before_undo()
    _restore(part, record)
    part.after_undo()
    output.message(f"{part.name}: removed")
    return result


def _restore(part: SetupPart, record: Record) -> None:
    changes, _ = record.undo(part.clean)
    files.write(changes)
    for folder in reversed(record.folders):
        path = Path(folder)
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    record.remove()


def _show(output: Output, changes: list[files.Change]) -> str:
    """Print the diff unless JSON is asked for, and return it."""
    shown = files.diff(changes)
    if shown and not output.as_json:
        output.message(shown.rstrip("\n"))
    return shown
