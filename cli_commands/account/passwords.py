"""``gatepost account passwd``, and the secrets that other commands read."""

import codecs
import sys

import click

from cli_commands.app import App, command
from cli_commands.output import Output
from config import text
from config.loader import ConfigError, Problem
from store.errors import Refused
from store.logins import guesses, password_hashes, password_rules
from store.people import accounts, identity, view

# A secret on standard input ends at its line; nobody types more.
MAX_SECRET = 4096

replace_identity_option = click.option(
    "--replace-identity", is_flag=True, help="Take a number that is not the one on file."
)


@command()
@click.argument("name")
@click.option(
    "--identity-stdin",
    is_flag=True,
    help="Back to the initial password of this number, which must be the one on file, if any.",
)
@replace_identity_option
@click.option("--password-stdin", is_flag=True, help="Read the new password, not asked for.")
@click.option("--why", default="", help="Reason, recorded in the audit log.")
def passwd(
    app: App,
    answer: Output,
    name: str,
    identity_stdin: bool,
    replace_identity: bool,
    password_stdin: bool,
    why: str,
) -> None:
    """Set a password, typed twice or read from standard input; reset failed logins.

    Example: gatepost account passwd alice
    """
    check_options(identity_stdin, password_stdin, replace_identity)
    found = view.get(app.store, app.settings, name)
    document = None
    if identity_stdin:
        number = read_number()
        document = document_of(app, found.name, number, replace=replace_identity)
        hashed = password_hashes.hash_password(number)
    elif password_stdin:
        hashed = hash_of(app, found.name, read_line())
    else:
        typed = click.prompt("New password", hide_input=True, confirmation_prompt=True)
        hashed = hash_of(app, found.name, typed)
    initial = document is not None
    accounts.set_password(
        app.store, app.settings, found.name, hashed, document=document,
        how="initial" if initial else "reset", initial=initial, change=app.change(why),
    )  # fmt: skip
    guesses.reset_failures(app.store, found.name)  # its owner must get in now
    answer.say(f"password of {found.name} set{' to the initial one' if initial else ''}")
    answer.document({"name": found.name, "initial": initial})


def check_options(
    identity_stdin: bool, password_stdin: bool = False, replace_identity: bool = False
) -> None:
    """Refuse what does not go together."""
    if identity_stdin and password_stdin:
        raise click.UsageError("--identity-stdin and --password-stdin exclude each other")
    if replace_identity and not identity_stdin:
        raise click.UsageError("--replace-identity goes with --identity-stdin")


def read_number() -> str:
    """Return the identity number on standard input, as it is compared."""
    try:
        return identity.normalise(read_line())
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def read_line() -> str:
    """Return the secret on standard input."""
    raw = sys.stdin.buffer.readline(MAX_SECRET)
    if raw.startswith(codecs.BOM_UTF16_LE) and raw.endswith(b"\n"):
        raw += sys.stdin.buffer.read(1)  # the other half of the line's end
    try:
        line = text.decode(raw)
        text.check(line)
    except text.NotText as error:
        raise click.UsageError(f"standard input: {error}") from None
    if not line.strip():
        raise click.UsageError("nothing on standard input")
    return line.rstrip("\r\n")


def document_of(app: App, name: str | None, number: str, *, replace: bool = False) -> str:
    """Return the keyed hash of *number*; unless *replace*, it is what is on file of *name*."""
    try:
        key = identity.load_key(app.settings.site.key_file)
    except identity.KeyFileError as error:
        raise ConfigError(app.path, [Problem("site.key_file", str(error))]) from None
    stored = view.identity_of(app.store, app.settings, name) if name is not None else None
    if stored is not None and not replace and not identity.matches(number, stored, key):
        raise Refused(
            f"the number is not the one on file for {name}, so nothing was changed; "
            "if the document says so nevertheless, add --replace-identity"
        )
    return identity.keyed_hash(number, key)


def hash_of(app: App, name: str, password: str) -> str:
    """Return the hash of *password*; raise `Refused` for one that breaks the rules."""
    domains = app.settings.site.domains
    words = {label for domain in domains for label in domain.split(".")}
    # A mail program may send the whole address: that, too, has to fit beside the password.
    longest = max((f"{name}@{domain}" for domain in domains), key=len)
    try:
        password_rules.check(password, name=longest, local_words={name, *words})
    except ValueError as error:
        raise Refused(str(error)) from None
    return password_hashes.hash_password(password)
