"""``gatepost account set``: change an account's role, condition, names, quota and limits."""

from typing import Any

import click

from cli_commands.account.passwords import (
    check_options,
    document_of,
    read_number,
    replace_identity_option,
)
from cli_commands.account.view import rows_of
from cli_commands.app import App
from cli_commands.command import command
from cli_commands.output import Output
from cli_commands.parameters import LowerCase, Until, reason_option
from store.errors import Refused
from store.people import accounts, graduation_plan, view
from store.people.fields import check_role
from store.registrar.columns import OVERRIDES, override


@command(name="set")
@click.argument("name")
@click.option("--role", type=LowerCase(), help="Role, one of those in the settings, such as staff.")
@click.option(
    "--condition",
    type=LowerCase(),
    help="Status from the registrar, such as normal or resumption.",
)
@click.option(
    "--name",
    "new_name",
    metavar="NEW",
    help="Rename the account; move the mailbox on disk yourself.",
)
@click.option(
    "--second-mailbox",
    metavar="ADDRESS",
    help='Outside address for password-reset links; "" removes it.',
)
@click.option(
    "--alias",
    "aliases",
    multiple=True,
    metavar="ADDRESS",
    help='Replace all aliases; may be repeated; "" removes them.',
)
@click.option(
    "--identity-stdin",
    is_flag=True,
    help="Read the identity number from standard input; the password stays.",
)
@replace_identity_option
@click.option(
    "--mailbox",
    metavar="SIZE",
    help='Quota, such as 500M, 2G or "unlimited"; "role" returns to the role\'s.',
)
@click.option(
    "--attachments",
    metavar="SIZE",
    help='Attachment limit, such as 50M; "role" returns to the role\'s.',
)
@click.option(
    "--send",
    metavar="RATES",
    help='Sending limits, such as "500/1h 2000/1d" or "unlimited"; "role" returns to the role\'s.',
)
@click.option(
    "--until",
    type=Until(),
    metavar="DATE",
    help="Date on which --mailbox, --attachments and --send given here end, or a span (30d).",
)
@reason_option()
def set_(app: App, output: Output, name: str, **options: Any) -> None:
    """Change an account; what is not given stays as it is.

    Example: gatepost account set alice --send "2000/1h" --until 7d --reason "ticket 4711"
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
        change=app.change(options["reason"]),
    )  # fmt: skip
    output.record(changed, rows_of(app, changed))


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
    """Refuse a role whose mailbox is smaller, as the quota would shrink at once."""
    check_role(app.settings, role)
    found = view.get(app.store, app.settings, name)
    if found.role != role and graduation_plan.shrinks(app.settings, found, role):
        raise Refused(
            f"{role} has a smaller mailbox: `gatepost account graduate {found.name} --role {role}`"
            " measures what it holds and grants a grace period; or give --mailbox as well"
        )


def _override(field: str, value: str) -> object:
    try:
        return override(field, value)
    except (ValueError, Refused) as error:
        raise click.BadParameter(str(error), param_hint=f"--{field}") from None
