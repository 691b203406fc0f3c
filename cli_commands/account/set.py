"""``gatepost account set``: change role, condition, quotas, aliases and limits of an account."""

from typing import Any

import click

from cli_commands.account.passwords import (
    check_options,
    document_of,
    read_number,
    replace_identity_option,
)
from cli_commands.account.view import rows_of
from cli_commands.app import App, command
from cli_commands.output import Output
from cli_commands.parameters import LowerCase, Until
from store.errors import Refused
from store.people import accounts, graduation_plan, view
from store.people.fields import check_role
from store.registrar.columns import OVERRIDES, override


@command(name="set")
@click.argument("name")
@click.option("--role", type=LowerCase(), help="A role of the settings.")
@click.option(
    "--condition",
    type=LowerCase(),
    help="Status from the registrar, such as normal or resumption.",
)
@click.option(
    "--name", "new_name", metavar="NEW", help="Rename; the mailbox on disk has to be moved by hand."
)
@click.option("--second-mailbox", metavar="ADDRESS", help='"" removes it.')
@click.option(
    "--alias", "aliases", multiple=True, metavar="ADDRESS", help='All aliases anew; "" for none.'
)
@click.option(
    "--identity-stdin", is_flag=True, help="Read the identity number; the password stays."
)
@replace_identity_option
@click.option(
    "--mailbox",
    metavar="SIZE",
    help='Quota instead of the role\'s, such as 500M or 2G, or "unlimited"; "role" ends it.',
)
@click.option(
    "--attachments",
    metavar="SIZE",
    help='Limit instead of the role\'s, such as 50M; "role" ends it.',
)
@click.option(
    "--send",
    metavar="RATES",
    help='"500/1h 2000/1d" instead of the role\'s, or "unlimited"; "role" ends it.',
)
@click.option(
    "--until",
    type=Until(),
    metavar="DATE",
    help="When what is given here instead of the role's ends.",
)
@click.option("--why", default="", help="Reason, recorded in the audit log.")
def set_(app: App, answer: Output, name: str, **options: Any) -> None:
    """Change an account.

    Example: gatepost account set alice --send "2000/1h" --until 7d --why "ticket 4711"
    """
    check_options(options["identity_stdin"], replace_identity=options["replace_identity"])
    fields, aliases = _changes(options)
    if options["identity_stdin"]:
        number, replace = read_number(), options["replace_identity"]
        fields["identity"] = document_of(app, name, number, replace=replace)
    if not fields and aliases is None:
        raise click.UsageError("nothing to change; see `gatepost account set --help`")
    if "role" in fields and fields.get("mailbox") is None:
        _check_room(app, name, str(fields["role"]))
    changed = accounts.set_fields(
        app.store, app.settings, name, fields=fields, aliases=aliases,
        change=app.change(options["why"]),
    )  # fmt: skip
    answer.record(changed, rows_of(app, changed))


def _changes(options: dict[str, Any]) -> tuple[dict[str, object], tuple[str, ...] | None]:
    fields: dict[str, object] = {
        field: options[option]
        for field, option in (
            ("role", "role"), ("condition", "condition"), ("name", "new_name"),
            ("second_mailbox", "second_mailbox"),
        )
        if options[option] is not None
    }  # fmt: skip
    for field in OVERRIDES:
        value = options[field]
        if value is not None:
            fields[field] = None if value == "role" else _override(field, value)
            fields[f"{field}_until"] = None if value == "role" else options["until"]
    if options["until"] is not None and all(options[field] is None for field in OVERRIDES):
        raise click.UsageError("--until goes with --mailbox, --attachments or --send")
    aliases = options["aliases"]
    return fields, tuple(alias for alias in aliases if alias) if aliases else None


def _check_room(app: App, name: str, role: str) -> None:
    """Refuse a role that would make the mailbox smaller at once."""
    check_role(app.settings, role)
    found = view.get(app.store, app.settings, name)
    if found.role != role and graduation_plan.shrinks(app.settings, found, role):
        raise Refused(
            f"{role} has a smaller mailbox: `gatepost account graduate {found.name} --role {role}`"
            " measures what it holds and leaves time to tidy up; or give --mailbox as well"
        )


def _override(field: str, value: str) -> object:
    try:
        return override(field, value)
    except (ValueError, Refused) as error:
        raise click.BadParameter(str(error), param_hint=f"--{field}") from None
