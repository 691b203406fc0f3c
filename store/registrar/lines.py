"""The parsed lines of a registrar's file: accounts, and lines that are refused or skipped. Pure."""

from dataclasses import dataclass, field

from config.units import Bytes
from store.logins.password_hashes import check_hash
from store.logins.schemes import UnknownScheme
from store.redaction import redact, shown_name
from store.registrar.columns import Extras


@dataclass(frozen=True, slots=True)
class Foreign:
    """What another server's file holds about an account besides name and password.

    Empty means absent. *fields* are names and values, some of which gatepost has no use for;
    `store.registrar.notes` judges them.
    """

    home: str = ""
    uid: str = ""
    gid: str = ""
    quota: Bytes | None = None  # 0 is unlimited
    fields: tuple[tuple[str, str], ...] = ()


NOTHING = Extras()
OURS = Foreign()  # for the lines of gatepost's own CSV


@dataclass(frozen=True, slots=True)
class Line:
    """One account as a file describes it; ``None`` means absent."""

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
    """A line that is not imported, and why. Created by `refusal`."""

    number: int
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line of passwd(5) that is not a person's."""

    number: int
    name: str
    reason: str


class HeaderError(ValueError):
    """The first line of a CSV does not name its columns."""


def refusal(number: int, name: str, reason: str) -> Refusal:
    """Return a refusal that shows no password, whatever the line holds."""
    return Refusal(number, shown_name(name), redact(reason))


def with_checked_hash(line: Line) -> Line:
    """Return *line*; raise ``ValueError`` if its password hash can never be verified."""
    if line.password is not None:
        try:
            check_hash(line.password)
        except UnknownScheme as error:
            raise ValueError(f"password hash: {error}") from None
    return line
