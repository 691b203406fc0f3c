"""One account as a file describes it, and what is said of a line that was not taken. Pure."""

from dataclasses import dataclass, field

from store.logins.password_hashes import check_hash
from store.logins.schemes import UnknownScheme
from store.redaction import redact, shown_name
from store.registrar.columns import Extras


@dataclass(frozen=True, slots=True)
class Foreign:
    """What the file of another server says of an account besides name and password.

    Empty is what it does not say. *fields* are names and values, of which some mean
    nothing to gatepost; `store.registrar.notes` judges all of this.
    """

    home: str = ""
    uid: str = ""
    gid: str = ""
    quota: int | None = None  # bytes, 0 is unlimited
    fields: tuple[tuple[str, str], ...] = ()


NOTHING = Extras()
OURS = Foreign()  # of a file that describes gatepost's own accounts


@dataclass(frozen=True, slots=True)
class Line:
    """One account as a file describes it; ``None`` is what it does not say."""

    number: int
    name: str
    role: str | None = None
    condition: str | None = None
    second_mailbox: str | None = None
    aliases: tuple[str, ...] = ()
    identity: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)  # {SCHEME}hash
    extras: Extras = NOTHING
    foreign: Foreign = field(default=OURS, repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that was not taken, and why. Made by `refusal`."""

    number: int
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line of passwd(5) that is no person's."""

    number: int
    name: str
    reason: str


class HeaderError(ValueError):
    """The first line of a CSV does not say what the columns are."""


def refusal(number: int, name: str, reason: str) -> Refusal:
    """Return a refusal that shows no password, whatever the line is."""
    return Refusal(number, shown_name(name), redact(reason))


def with_checked_hash(line: Line) -> Line:
    """Return *line*; raise ``ValueError`` for a password hash that can never be checked."""
    if line.password is not None:
        try:
            check_hash(line.password)
        except UnknownScheme as error:
            raise ValueError(f"password hash: {error}") from None
    return line
