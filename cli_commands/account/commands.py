"""``gatepost account``: the group, and its commands add, show, list and remove."""

import dataclasses
import time

import click

from cli_commands.account.export import export
from cli_commands.account.graduate import graduate
from cli_commands.account.import_ import import_
from cli_commands.account.passwords import (
    check_options,
    document_of,
    hash_of,
    passwd,
    read_line,
    read_number,
)
from cli_commands.account.set import set_
from cli_commands.account.suspend import resume, suspend
from cli_commands.account.view import closed_rows, initial_note, marks, open_or_closed, rows_of
from cli_commands.app import App
from cli_commands.command import command
from cli_commands.output import Output
from cli_commands.parameters import LowerCase, reason_option
from store.errors import Refused
from store.logins import guesses, password_hashes
from store.people import accounts, view
from store.people.fields import check_role


@click.group()
def account() -> None:
    """Create, show, change, suspend and remove accounts."""


for _command in (import_, export, graduate, passwd, set_, suspend, resume):
    account.add_command(_command)


@command(account)
@click.argument("name")
@click.option(
    "--role",
    type=LowerCase(),
    required=True,
    help="Role, one of those in the settings, such as staff.",
)
@click.option(
    "--condition",
    type=LowerCase(),
    default=accounts.DEFAULT_CONDITION,
    show_default=True,
    help="Status from the registrar, such as normal or resumption.",
)
@click.option(
    "--identity-stdin",
    is_flag=True,
    help="Read the identity number from standard input; it becomes the initial password.",
)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option(
    "--second-mailbox", metavar="ADDRESS", help="Outside address for password-reset links."
)
@click.option(
    "--alias",
    "aliases",
    multiple=True,
    metavar="ADDRESS",
    help="Additional address; may be repeated.",
)
@reason_option()
def add(
    app: App,
    output: Output,
    name: str,
    role: str,
    condition: str,
    identity_stdin: bool,
    password_stdin: bool,
    second_mailbox: str | None,
    aliases: tuple[str, ...],
    reason: str,
) -> None:
    """Create an account. Nobody can log in to it until it has a password or identity number.

    Example: gatepost account add s1234567 --role student --identity-stdin < number.txt
    """
    check_role(app.settings, role)
    check_options(identity_stdin, password_stdin)
    hashed = document = None
    if identity_stdin:
        number = read_number()
        document, hashed = document_of(app, None, number), password_hashes.hash_password(number)
    elif password_stdin:
        hashed = hash_of(app, name, read_line())
    new = accounts.NewAccount(
        name=name,
        role=role,
        condition=condition,
        password=hashed,
        initial=document is not None,
        identity=document,
        second_mailbox=second_mailbox,
        aliases=aliases,
    )
    created = accounts.add(app.store, app.settings, new, change=app.change(reason))
    output.message(f"{created.name} ({created.role}) created{initial_note(created)}")
    output.document(created)


@command(account)
@click.argument("name")
def show(app: App, output: Output, name: str) -> None:
    """Show an account: its role, and the quota and limits in force.

    Example: gatepost account show alice
    """
    found = view.get(app.store, app.settings, name)
    now = int(time.time())
    closed = guesses.closed_until(app.store, found.name, now=now)
    networks = guesses.closed_networks(app.store, now=now, account=found.name)
    logins = [("logins", open_or_closed(closed)), *closed_rows(networks)]
    document = {**dataclasses.asdict(found), "closed_until": closed, "closed_networks": networks}
    output.record(document, [*rows_of(app, found), *logins])


@command(account, "list")
@click.option("--role", type=LowerCase(), help="Only accounts with this role.")
@click.option("--condition", type=LowerCase(), help="Only accounts in this condition.")
@click.option("--search", metavar="TEXT", help="Only names containing TEXT.")
def list_(
    app: App, output: Output, role: str | None, condition: str | None, search: str | None
) -> None:
    """List accounts.

    Example: gatepost account list --role alumni --json
    """
    if role is not None and role not in app.settings.roles:
        raise Refused(f"{role!r} is not a role of the settings: {', '.join(app.settings.roles)}")
    found = view.list_accounts(app.store, role=role, condition=condition, search=search)
    rows = ((v.name, v.role, v.condition, marks(v), ", ".join(v.aliases)) for v in found)
    columns = ("name", "role", "condition", "", "aliases")
    output.listing(found, columns, rows, none="no accounts")


@command(account)
@click.argument("name")
@click.option(
    "--yes", is_flag=True, help="Remove it; without this option, only show what would be removed."
)
@reason_option()
def remove(app: App, output: Output, name: str, yes: bool, reason: str) -> None:
    """Remove an account and its aliases. The mailbox on disk is not touched.

    Example: gatepost account remove alice --yes
    """
    found = view.get(app.store, app.settings, name)
    if not yes:
        raise Refused(f"would remove {found.name} ({found.role}); add --yes to do it")
    removed = accounts.remove(app.store, app.settings, name, change=app.change(reason))
    home = app.settings.site.mail_home.replace("{name}", removed)
    output.message(f"{removed} removed; its mailbox is still in {home}")
    output.document({"removed": removed, "mail_home": home})
