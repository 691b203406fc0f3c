"""``gatepost account passwd``, and the secrets that other commands read."""

import codecs
import sys

import click

from cli_commands.app import App
from cli_commands.command import command
from cli_commands.output import Output
from cli_commands.parameters import reason_option
from config import text
from config.loader import ConfigError, Problem
from store.errors import Refused
from store.logins import guesses, password_hashes, password_rules
from store.people import accounts, identity, view

# A secret on standard input is one line; no real one is longer.
MAX_SECRET = 4096

replace_identity_option = click.option(
    "--replace-identity", is_flag=True, help="Accept a number other than the one on file."
)


@command()
@click.argument("name")
@click.option(
    "--identity-stdin",
    is_flag=True,
    help="Return to the initial password: read the identity number from standard input. It must "
    "match the one on file, if any.",
)
@replace_identity_option
@click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the new password from standard input instead of asking.",
)
@reason_option()
def passwd(
    app: App,
    output: Output,
    name: str,
    identity_stdin: bool,
    replace_identity: bool,
    password_stdin: bool,
    reason: str,
) -> None:
    """Set a password, and reset failed logins. It is typed twice or read from standard input.

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
        how="initial" if initial else "reset", initial=initial, change=app.change(reason),
    )  # fmt: skip
    guesses.reset_failures(app.store, found.name)  # so that the owner can log in at once
    output.message(f"password of {found.name} set{' to the initial one' if initial else ''}")
    output.document({"name": found.name, "initial": initial})


def check_options(
    identity_stdin: bool, password_stdin: bool = False, replace_identity: bool = False
) -> None:
    """Refuse options that exclude or need each other."""
    if identity_stdin and password_stdin:
        raise click.UsageError("--identity-stdin and --password-stdin exclude each other")
    if replace_identity and not identity_stdin:
        raise click.UsageError("--replace-identity goes with --identity-stdin")


def read_number() -> str:
    """Return the identity number on standard input, normalised."""
    try:
        return identity.normalise(read_line())
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def read_line() -> str:
    """Return the secret on standard input."""
    raw = sys.stdin.buffer.readline(MAX_SECRET)
    if raw.startswith(codecs.BOM_UTF16_LE) and raw.endswith(b"\n"):
        raw += sys.stdin.buffer.read(1)  # the second byte of the UTF-16 line end
    try:
        line = text.decode(raw)
        text.check(line)
    except text.NotText as error:
        raise click.UsageError(f"standard input: {error}") from None
    if not line.strip():
        raise click.UsageError("standard input is empty")
    return line.rstrip("\r\n")


def document_of(app: App, name: str | None, number: str, *, replace: bool = False) -> str:
    """Return the keyed hash of *number*; `Refused` if another is on file, unless *replace*."""
    try:
        key = identity.load_key(app.settings.site.key_file)
    except identity.KeyFileError as error:
        raise ConfigError(app.path, [Problem("site.key_file", str(error))]) from None
    stored = view.identity_of(app.store, app.settings, name) if name is not None else None
    if stored is not None and not replace and not identity.matches(number, stored, key):
        raise Refused(
            f"the number is not the one on file for {name}, so nothing was changed; "
            "if the identity document confirms it, add --replace-identity"
        )
    return identity.keyed_hash(number, key)


def hash_of(app: App, name: str, password: str) -> str:
    """Return the hash of *password*; raise `Refused` for one that breaks the rules."""
    domains = app.settings.site.domains
    words = {label for domain in domains for label in domain.split(".")}
    # Mail programs may log in with the whole address, which must fit beside the password.
    longest = max((f"{name}@{domain}" for domain in domains), key=len)
    try:
        password_rules.check(password, name=longest, local_words={name, *words})
    except ValueError as error:
        raise Refused(str(error)) from None
    return password_hashes.hash_password(password)
