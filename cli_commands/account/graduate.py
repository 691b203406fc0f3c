"""``gatepost account graduate``: students become alumni (R7)."""

from collections.abc import Sequence
from functools import partial

import click

from cli_commands.app import App
from cli_commands.command import command
from cli_commands.output import Output, when
from cli_commands.parameters import LowerCase, Span, reason_option
from cli_commands.progress import bar
from cli_commands.text_file import Text, TextFile
from config.units import format_size
from store.errors import Refused
from store.people import graduation, graduation_plan, mailboxes
from store.people.graduation_plan import GRACE_SECONDS, ROLE, Graduate, GraduationPlan
from store.redaction import is_name_like


@command(name="graduate")
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option(
    "--file", type=TextFile(), help="Read names from FILE, one a line; # begins a comment."
)
@click.option("--cohort", metavar="PREFIX", help="Every student whose name starts with PREFIX.")
@click.option("--role", type=LowerCase(), default=ROLE, show_default=True, help="Their new role.")
@click.option(
    "--grace",
    type=Span(),
    default=f"{GRACE_SECONDS // 86400}d",
    show_default=True,
    help="How long accounts over the new quota keep the old one.",
)
@click.option("--undo", is_flag=True, help="Restore the role and quota from before.")
@click.option("--yes", is_flag=True, help="Graduate a cohort without asking.")
@click.option("--dry-run", is_flag=True, help="Show what would change; write nothing.")
@reason_option()
def graduate(
    app: App,
    output: Output,
    names: tuple[str, ...],
    file: Text | None,
    cohort: str | None,
    role: str,
    grace: int,
    undo: bool,
    yes: bool,
    dry_run: bool,
    reason: str,
) -> None:
    """Turn students into alumni: role, quota and limits in one step. No mail is deleted.

    Example: gatepost account graduate --cohort s2023 --dry-run
    """
    chosen = _names_given(app, names, file, cohort)
    if undo:
        if dry_run or cohort:
            raise click.UsageError("--undo goes with names or --file, without --dry-run")
        undone = graduation.undo(app.store, app.settings, chosen, change=app.change(reason))
        output.message(f"undone: {', '.join(undone)}")
        output.document({"undone": undone})
        return
    measure = partial(mailboxes.measure, app.settings)
    with bar("measuring"):
        todo = graduation_plan.plan(
            app.store, app.settings, chosen, measure=measure, grace=grace, role=role
        )
    done = 0
    if not dry_run and not todo.refused:
        if cohort is not None and todo.graduates and not yes:
            question = (
                f"{len(todo.graduates)} accounts will graduate. Continue? (--yes: do not ask)"
            )
            click.confirm(question, abort=True, err=True)
        done = graduation.carry_out(app.store, app.settings, todo, change=app.change(reason))
    _report(output, todo, done, dry_run=dry_run)
    if todo.refused:
        missing = ", ".join(name for name, _ in todo.refused)
        raise Refused(f"nothing was changed; no such account: {missing}")


def _names_given(
    app: App, names: tuple[str, ...], file: Text | None, cohort: str | None
) -> list[str]:
    if sum((bool(names), file is not None, cohort is not None)) != 1:
        raise click.UsageError("give names, --file or --cohort, and only one of them")
    if file is not None:
        return _names_in(file)
    if cohort is not None:
        if not cohort.strip():  # an unset shell variable
            raise click.UsageError("--cohort '' would be every student")
        return graduation_plan.cohort(app.store, cohort)
    return list(names)


def _names_in(file: Text) -> list[str]:
    names = [line.partition("#")[0].strip() for line in file.checked()]
    for number, name in enumerate(names, 1):
        if not is_name_like(name):
            raise Refused(f"{file.name}: line {number} is not a single name; not shown")
    return [name for name in names if name]


def show_over(output: Output, graduates: Sequence[Graduate]) -> None:
    """List the accounts that keep their old quota for a while or lose an override of it."""
    if output.as_json:
        return
    rows = [_row(graduated) for graduated in graduates if graduated.keeps_until is not None]
    columns = ("keeps its quota", "mail", "quota until then", "until", "quota after")
    if rows:
        output.listing(graduates, columns, rows, none="")
    for graduated in graduates:
        if graduated.own is not None:
            size = format_size(graduated.own) if graduated.own else "without a limit"
            output.message(
                f"{graduated.name}: its own mailbox size, {size}, ends; --undo restores it"
            )


def _report(output: Output, todo: GraduationPlan, done: int, *, dry_run: bool) -> None:
    show_over(output, todo.graduates)
    count = len(todo.graduates) if dry_run else done
    for name, reason in todo.refused:
        output.message(f"{name}: {reason}")
    unmeasured = f", {len(todo.unmeasured)} could not be measured" if todo.unmeasured else ""
    output.message(
        f"{count} graduate, {len(todo.over)} over the new quota{unmeasured}, "
        f"{len(todo.already)} already had the role"
        + (" (nothing changed: --dry-run)" if dry_run else "")
    )
    output.document(
        {
            "graduated": count,
            "over": todo.over,
            "unmeasured": todo.unmeasured,
            "already": todo.already,
            "refused": todo.refused,
            "dry_run": dry_run,
        }
    )


def _row(person: Graduate) -> tuple[str, ...]:
    held = "not measurable" if person.used is None else format_size(person.used)
    return (
        person.name,
        held,
        format_size(person.old_quota) if person.old_quota else "unlimited",
        when(person.keeps_until),
        format_size(person.new_quota),
    )
