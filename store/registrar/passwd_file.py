"""Parse the password files of other servers: passwd(5) with shadow(5), and Dovecot's. Pure.

What they hold besides name and password (home, owner, quota, extra fields) becomes `Foreign`, for
`store.registrar.notes` to judge. A line that cannot be read is refused and stops no other.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from config import text as plain
from config.units import Bytes
from store.people.suspension import MAX_REASON
from store.people.view import ActiveSuspension
from store.registrar.columns import Extras
from store.registrar.lines import (
    NOTHING,
    Foreign,
    Line,
    Refusal,
    Skipped,
    refusal,
    with_checked_hash,
)

# Debian gives people user ids from 1000 on (adduser.conf).
FIRST_PERSON_UID = 1000
NOBODY_UIDS = {65534, 65535}  # nobody, and -1 of old systems (systemd's UIDS-GIDS)
NO_SHELLS = {"nologin", "false"}
_PASSWD_FIELDS = 7
_SHADOW_FIELDS = 2
_SHADOW_EXPIRES = 7  # the eighth: days since 1970-01-01
_DOVECOT_FIELDS = 2
_DOVECOT_EXTRA = 7  # all from the eighth on, colons and all
DAY_SECONDS = 86400
MAX_DAY = 1_000_000  # shadow(5) files say 99999 for never; the year 4707

# Dovecot 2.3's rule for all folders; a number without a unit is kilobytes (quota.c).
_RULE_STORAGE = re.compile(r"(storage|bytes)=([0-9]{1,12})([BKMGT]?)", re.IGNORECASE)
# Dovecot 2.4's setting; a number without a unit is bytes (settings-parser.c).
_STORAGE_SIZE = re.compile(r"([0-9]{1,12}) ?([BKMGT]?)(?:I?B)?", re.IGNORECASE)
_POWERS = {"B": 0, "K": 10, "M": 20, "G": 30, "T": 40}


@dataclass(frozen=True, slots=True)
class Shadow:
    """A line of shadow(5)."""

    stored: str
    expires: str = ""  # a date


def passwd_lines(
    text: Iterable[str], shadow: Mapping[str, Shadow] | None = None
) -> Iterator[Line | Refusal | Skipped]:
    """Parse passwd(5); where a password is ``x``, the hash is in *shadow* (`shadow_entries`).

    System accounts are skipped: those with a system user id, and those with neither a shell nor
    a password. An account with a password and no shell is a mail user.
    """
    for number, line in _lines(text):
        parts = line.split(":")
        name = parts[0]
        if len(parts) != _PASSWD_FIELDS or not (parts[2].isascii() and parts[2].isdigit()):
            yield refusal(number, name, "not a line of passwd(5), which has 7 fields")
            continue
        beside = (shadow or {}).get(name, Shadow(""))
        stored = beside.stored if parts[1] == "x" else parts[1]
        shell = parts[6].strip()
        no_shell = shell.rpartition("/")[2] in NO_SHELLS
        fields = [("shell", shell)] if no_shell else []
        fields += [("expires", beside.expires)] if beside.expires else []
        if int(parts[2]) < FIRST_PERSON_UID or int(parts[2]) in NOBODY_UIDS:
            yield Skipped(number, name, f"user id {parts[2]} is a system account's")
        elif no_shell and _is_locked(stored):
            yield Skipped(number, name, "neither a shell nor a password")
        else:
            foreign = Foreign(parts[5], parts[2], parts[3], fields=tuple(fields))
            yield _with_hash(number, line, stored, foreign)


def shadow_entries(text: Iterable[str]) -> dict[str, Shadow]:
    """Return the entries of shadow(5) by name, ignoring malformed lines."""
    rows = (line.split(":") for _, line in _lines(text))
    return {
        parts[0]: Shadow(parts[1], _day(parts[_SHADOW_EXPIRES : _SHADOW_EXPIRES + 1]))
        for parts in rows
        if len(parts) >= _SHADOW_FIELDS
    }


def dovecot_lines(text: Iterable[str]) -> Iterator[Line | Refusal]:
    """Parse Dovecot's passwd-file: ``user:password:uid:gid:gecos:home:shell:extra fields``."""
    for number, line in _lines(text):
        parts = line.split(":")
        if len(parts) < _DOVECOT_FIELDS:
            yield refusal(number, parts[0], "not a line of a Dovecot passwd-file: it has no colon")
            continue
        uid, gid, _, home, _ = (parts[2:_DOVECOT_EXTRA] + [""] * 5)[:5]
        quota, fields, extras = _extra(":".join(parts[_DOVECOT_EXTRA:]))
        foreign = Foreign(home, uid, gid, quota, fields)
        yield _with_hash(number, line, parts[1], foreign, extras)


def _lines(text: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text, 1):
        bare = line.strip("\r\n")
        if bare.strip() and not bare.startswith("#"):
            yield number, bare


def _day(field: list[str]) -> str:
    """Return the date that *field* holds as a number of days, or ``""``."""
    days = field[0].strip() if field else ""
    if not (days.isascii() and days.isdigit()) or int(days) > MAX_DAY:
        return ""
    return datetime.fromtimestamp(int(days) * DAY_SECONDS, UTC).strftime("%Y-%m-%d")


def _extra(text: str) -> tuple[Bytes | None, tuple[tuple[str, str], ...], Extras]:
    """Return the quota of *text*, its other fields, and the suspension that ``nologin`` becomes."""
    values = dict(token.partition("=")[::2] for token in text.split(" ") if token)
    quota: int | None = None
    fields: list[tuple[str, str]] = []
    for name, value in values.items():
        if name == "userdb_quota_rule" and value.startswith("*:"):
            quota, rest = _parse_quota_rule(value)
            fields += [(name, part) for part in rest]
        elif (
            name == "userdb_quota_storage_size" and (size := _parse_storage_size(value)) is not None
        ):
            quota = size
        elif name != "reason" or "nologin" not in values:
            fields.append((name, value))
    if "nologin" not in values:
        return quota, tuple(fields), NOTHING
    why = "not allowed to log in by the passwd-file"
    reason = values.get("reason", "")
    if reason and reason.isprintable():
        why = f"{why}: {reason}"
    stop = ActiveSuspension("everything", why[:MAX_REASON], 0, None)
    return quota, tuple(fields), Extras(suspended=(stop,))


def _parse_quota_rule(rule: str) -> tuple[Bytes | None, list[str]]:
    """Return the size of a quota rule for all folders, and its other parts."""
    quota, rest = None, []
    for part in rule.split(":")[1:]:
        found = _RULE_STORAGE.fullmatch(part)
        if found:
            unit = found[3] or ("K" if found[1].lower() == "storage" else "B")
            quota = int(found[2]) << _POWERS[unit.upper()]
        else:
            rest.append(part)
    return quota, rest


def _parse_storage_size(text: str) -> Bytes | None:
    """Return a size as Dovecot 2.4 writes it; 0 is unlimited, ``None`` is invalid."""
    if text == "unlimited":
        return 0
    found = _STORAGE_SIZE.fullmatch(text)
    size = int(found[1]) << _POWERS[(found[2] or "B").upper()] if found else 0
    return size or None


def _with_hash(
    number: int, line: str, stored: str, foreign: Foreign, extras: Extras = NOTHING
) -> Line | Refusal:
    name = line.partition(":")[0]
    try:
        plain.check(line, number=number)
        if _is_locked(stored):
            return Line(number, name, extras=extras, foreign=foreign)
        notation = stored if stored.startswith("{") else f"{{CRYPT}}{stored}"
        made = Line(number, name, password=notation, extras=extras, foreign=foreign)
        return with_checked_hash(made)
    except ValueError as error:
        return refusal(number, name, str(error))


def _is_locked(stored: str) -> bool:
    """Return whether *stored* lets nobody log in, or anybody without a password."""
    bare = stored.removeprefix("{CRYPT}")
    return bare in {"", "x"} or bare[0] in "!*"
