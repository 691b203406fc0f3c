"""``gatepost account``: people and functions with a mailbox."""

import dataclasses
import time
from typing import Any

import click

from cli_commands.account_export import export
from cli_commands.account_graduation import graduate
from cli_commands.account_import import import_
from cli_commands.account_passwords import (
    check_options,
    document_of,
    hash_of,
    passwd,
    read_line,
    read_number,
    replace_identity_option,
)
from cli_commands.account_view import closed_rows, initial_note, marks, open_or_closed, rows_of
from cli_commands.app import Answer, App, Span, Until, command
from cli_commands.words import LowerCase
from store import accounts, graduation, guesses, passwords, suspension
from store.errors import Refused
from store.registrar_extras import OVERRIDES, override


@click.group()
def account() -> None:
    """Make, show, change, suspend and remove accounts."""


for _each in (import_, export, graduate, passwd):
    account.add_command(_each)


@command(account)
@click.argument("name")
@click.option("--role", type=LowerCase(), required=True, help="A role of the settings.")
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
    help="Read the identity number: it makes the initial password.",
)
@click.option("--password-stdin", is_flag=True, help="Read the password.")
@click.option(
    "--second-mailbox", metavar="ADDRESS", help="Outside address for password-reset links."
)
@click.option(
    "--alias", "aliases", multiple=True, metavar="ADDRESS", help="Another name; may be repeated."
)
@click.option("--why", default="", help="Reason, recorded in the audit log.")
def add(
    app: App,
    answer: Answer,
    name: str,
    role: str,
    condition: str,
    identity_stdin: bool,
    password_stdin: bool,
    second_mailbox: str | None,
    aliases: tuple[str, ...],
    why: str,
) -> None:
    """Make an account. Without a password or identity number nobody can log in to it yet.

    Example: gatepost account add s1234567 --role student --identity-stdin < number.txt
    """
    accounts.check_role(app.settings, role)
    check_options(identity_stdin, password_stdin)
    hashed = document = None
    if identity_stdin:
        number = read_number()
        document, hashed = document_of(app, None, number), passwords.hash_password(number)
    elif password_stdin:
        hashed = hash_of(app, name, read_line())
    new = accounts.New(
        name=name,
        role=role,
        condition=condition,
        password=hashed,
        initial=document is not None,
        identity=document,
        second_mailbox=second_mailbox,
        aliases=aliases,
    )
    made = accounts.add(app.store, app.settings, new, change=app.change(why))
    answer.say(f"{made.name} ({made.role}) made{initial_note(made)}")
    answer.document(made)


@command(account)
@click.argument("name")
def show(app: App, answer: Answer, name: str) -> None:
    """Show an account, and what its role and overrides give it.

    Example: gatepost account show alice
    """
    found = accounts.get(app.store, app.settings, name)
    now = int(time.time())
    closed = guesses.closed_until(app.store, found.name, now=now)
    networks = guesses.closed_networks(app.store, now=now, account=found.name)
    logins = [("logins", open_or_closed(closed)), *closed_rows(networks)]
    document = {**dataclasses.asdict(found), "closed_until": closed, "closed_networks": networks}
    answer.record(document, [*rows_of(app, found), *logins])


@command(account, "list")
@click.option("--role", type=LowerCase(), help="Only of this role.")
@click.option("--condition", type=LowerCase(), help="Only of this condition.")
@click.option("--search", metavar="TEXT", help="Only names containing TEXT.")
def list_(
    app: App, answer: Answer, role: str | None, condition: str | None, search: str | None
) -> None:
    """List accounts.

    Example: gatepost account list --role alumni --json
    """
    if role is not None and role not in app.settings.roles:
        raise Refused(f"{role!r} is no role of the settings: {', '.join(app.settings.roles)}")
    found = accounts.listed(app.store, role=role, condition=condition, search=search)
    rows = ((v.name, v.role, v.condition, marks(v), ", ".join(v.aliases)) for v in found)
    columns = ("name", "role", "condition", "", "aliases")
    answer.listing(found, columns, rows, none="no accounts")


@command(account, "set")
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
def set_(app: App, answer: Answer, name: str, **options: Any) -> None:
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


@command(account)
@click.argument("name")
@click.option(
    "--scope", type=click.Choice(["sending", "everything"]), default="sending", show_default=True
)
@click.option(
    "--for", "seconds", type=Span(), metavar="7d", help="How long. Default: until resumed."
)
@click.option("--until", type=Until(), metavar="DATE", help="When it ends.")
@click.option("--reason", required=True, help="Why; the person may be told.")
def suspend(
    app: App,
    answer: Answer,
    name: str,
    scope: suspension.Scope,
    seconds: int | None,
    until: int | None,
    reason: str,
) -> None:
    """Stop an account from sending, or from everything; mail to it still arrives.

    Nobody can log in to an account stopped from everything; who is logged in (IMAP) stays
    so until `doveadm kick NAME`.

    Example: gatepost account suspend alice --reason "password phished, ticket 4711"
    """
    if seconds is not None and until is not None:
        raise click.UsageError("--for and --until exclude each other")
    if seconds == 0:
        raise click.BadParameter("it would be over at once", param_hint="--for")
    if until is not None:
        seconds = max(1, until - int(time.time()))
    stopped = suspension.suspend(
        app.store, app.settings, name, scope=scope, seconds=seconds, change=app.change(reason)
    )
    answer.record(stopped, rows_of(app, stopped))
    if scope == "everything":
        click.echo(
            f"gatepost: sessions that are open go on; end them: doveadm kick {stopped.name}",
            err=True,
        )


@command(account)
@click.argument("name")
@click.option("--reason", default="", help="Reason, recorded in the audit log.")
def resume(app: App, answer: Answer, name: str, reason: str) -> None:
    """End every suspension of an account.

    Example: gatepost account resume alice
    """
    free = suspension.resume(app.store, app.settings, name, change=app.change(reason))
    answer.record(free, rows_of(app, free))


@command(account)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do it; without it, only say what would be done.")
@click.option("--why", default="", help="Reason, recorded in the audit log.")
def remove(app: App, answer: Answer, name: str, yes: bool, why: str) -> None:
    """Remove an account and its aliases. The mailbox on disk is not touched.

    Example: gatepost account remove alice --yes
    """
    found = accounts.get(app.store, app.settings, name)
    if not yes:
        raise Refused(f"would remove {found.name} ({found.role}); add --yes to do it")
    removed = accounts.remove(app.store, app.settings, name, change=app.change(why))
    home = app.settings.site.mail_home.replace("{name}", removed)
    answer.say(f"{removed} removed; its mailbox is still in {home}")
    answer.document({"removed": removed, "mail_home": home})


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
    accounts.check_role(app.settings, role)
    found = accounts.get(app.store, app.settings, name)
    if found.role != role and graduation.shrinks(app.settings, found, role):
        raise Refused(
            f"{role} has a smaller mailbox: `gatepost account graduate {found.name} --role {role}`"
            " measures what it holds and leaves time to tidy up; or give --mailbox as well"
        )


def _override(field: str, value: str) -> object:
    try:
        return override(field, value)
    except (ValueError, Refused) as error:
        raise click.BadParameter(str(error), param_hint=f"--{field}") from None
