"""What the registrar's files say, line by line. Pure: text in, `Line` or `Refusal` out.

Three formats: CSV with a header of `COLUMNS`, passwd(5) with its shadow(5), and
Dovecot's passwd-file. A line that cannot be read is refused with its reason and
stops nobody else; only a header that cannot be understood stops the file.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from store.errors import Refused
from store.passwords import UnknownScheme, check_form
from store.registrar_extras import EXTRA, Extras, read

COLUMNS = (
    *("name", "role", "condition", "second_mailbox", "aliases", "identity", "password_hash"),
    *EXTRA,
)
# Debian gives people ids from 1000 on; what lies below is no person (adduser.conf).
FIRST_PERSON = 1000
NOBODIES = {65534, 65535}  # nobody, and -1 of old systems (systemd's UIDS-GIDS)
NO_SHELLS = {"nologin", "false"}
_PASSWD_FIELDS = 7
_SHADOW_FIELDS = 2
_DOVECOT_FIELDS = 2


NOTHING = Extras()


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


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that was not taken, and why."""

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


def csv_lines(text: Iterable[str]) -> Iterator[Line | Refusal]:
    """Read CSV (RFC 4180) whose first line names its columns, of `COLUMNS`, in any order."""
    rows = csv.reader(text, strict=True)
    try:
        header = [column.strip().lower().lstrip("\ufeff") for column in next(rows, [])]
    except csv.Error as error:
        raise HeaderError(f"line 1 is not CSV: {error}") from None
    unknown = [column for column in header if column not in COLUMNS]
    if "name" not in header or unknown or len(set(header)) != len(header):
        raise HeaderError(
            f"line 1 must name the columns, of: {', '.join(COLUMNS)}; name is needed"
            + (f"; unknown: {', '.join(unknown)}" if unknown else "")
        )
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Refusal(rows.line_num, "", f"not CSV: {error}")
            continue
        if any(row):
            yield _of_row(rows.line_num, header, row)


def passwd_lines(
    text: Iterable[str], shadow: Mapping[str, str] | None = None
) -> Iterator[Line | Refusal | Skipped]:
    """Read passwd(5); hashes come from *shadow* (see `shadow_hashes`) where it says ``x``.

    System accounts are skipped: by their user id, or with neither a shell nor a password. Who
    has a password and no shell is a mail user.
    """
    for number, parts in _fields(text):
        name = parts[0]
        if len(parts) != _PASSWD_FIELDS or not (parts[2].isascii() and parts[2].isdigit()):
            yield Refusal(number, name, "not a line of passwd(5)")
            continue
        stored = (shadow or {}).get(name, "") if parts[1] == "x" else parts[1]
        if int(parts[2]) < FIRST_PERSON or int(parts[2]) in NOBODIES:
            yield Skipped(number, name, f"user id {parts[2]} is no person's")
        elif parts[6].rpartition("/")[2] in NO_SHELLS and _is_locked(stored):
            yield Skipped(number, name, "neither a shell nor a password")
        else:
            yield _with_hash(number, name, stored)


def shadow_hashes(text: Iterable[str]) -> dict[str, str]:
    """Return the hashes of shadow(5) by name; lines of another form are left out."""
    rows = (parts for _, parts in _fields(text) if len(parts) >= _SHADOW_FIELDS)
    return {parts[0]: parts[1] for parts in rows}


def dovecot_lines(text: Iterable[str]) -> Iterator[Line | Refusal]:
    """Read Dovecot's passwd-file; of its fields name and hash count, the rest is ours to say."""
    for number, parts in _fields(text):
        if len(parts) < _DOVECOT_FIELDS:
            yield Refusal(number, parts[0], "not a line of a Dovecot passwd-file")
        else:
            yield _with_hash(number, parts[0], parts[1])


def _fields(text: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text, 1):
        bare = line.strip("\r\n")
        if bare.strip() and not bare.startswith("#"):
            yield number, bare.split(":")


def _of_row(number: int, header: list[str], row: list[str]) -> Line | Refusal:
    if len(row) != len(header):
        name = row[header.index("name")] if len(row) > header.index("name") else ""
        return Refusal(number, name, f"{len(row)} fields where the header has {len(header)}")
    said = {column: value.strip() or None for column, value in zip(header, row, strict=True)}
    name = said["name"] or ""
    try:
        extras = read(said)
    except (Refused, ValueError) as error:
        return Refusal(number, name, str(error))
    line = Line(
        number=number,
        name=name,
        role=said.get("role"),
        condition=said.get("condition"),
        second_mailbox=said.get("second_mailbox"),
        aliases=tuple((said.get("aliases") or "").split()),
        identity=said.get("identity"),
        password=said.get("password_hash"),
        extras=extras,
    )
    if line.identity and line.password:
        return Refusal(number, name, "identity and password_hash exclude each other")
    return _checked(line)


def _with_hash(number: int, name: str, stored: str) -> Line | Refusal:
    if _is_locked(stored):
        return Line(number, name)
    notation = stored if stored.startswith("{") else f"{{CRYPT}}{stored}"
    return _checked(Line(number, name, password=notation))


def _is_locked(stored: str) -> bool:
    """Return whether nobody can log in by the hash *stored*, or anybody without a password."""
    bare = stored.removeprefix("{CRYPT}")
    return bare in {"", "x"} or bare[0] in "!*"


def _checked(line: Line) -> Line | Refusal:
    if line.password is not None:
        try:
            check_form(line.password)
        except UnknownScheme as error:
            return Refusal(line.number, line.name, f"password hash: {error}")
        except UnicodeEncodeError:  # a plain password in Latin-1
            return Refusal(line.number, line.name, "password hash: not UTF-8")
    return line
