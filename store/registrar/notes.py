"""Notes on the fields of another server's file that gatepost does not keep as they are.

Nothing is dropped without a note. A field is *grave* if dropping it would lose track of stored
mail or let somebody in: such a line is refused unless the operator accepts the loss
(``import --accept-loss``).
"""

import grp
import posixpath
import pwd
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from config.settings import Settings, SiteSettings
from config.units import MAX_SIZE, Bytes, UnixSeconds, format_size
from store.models import AccountRow
from store.people.entitlements import mailbox_quota
from store.redaction import redact
from store.registrar.columns import OVERRIDES, limit_text
from store.registrar.lines import Line

MAX_VALUE = 80  # characters of a value that a note quotes
# Their values are, or may be, secrets: a proxy's or a master's password.
_SECRET = re.compile(r"pass|secret|token|key", re.IGNORECASE)
_MAIL = re.compile(r"(userdb_)?(mail|mail_.*|namespace/.*)")
_QUOTA = re.compile(r"(userdb_)?quota.*")
_MEANINGS = {
    "allow_nets": "they could log in from any network",
    "allow_real_nets": "they could log in from any network",
    "expires": "the account would not expire",
    "nologin": "kept as a suspension from everything; `gatepost account resume` ends it",
    "nopassword": "they needed no password; here nobody can log in without one",
    "shell": "it forbids logins to the machine, not to mail; so it does here",
}
_GRAVE = {"allow_nets", "allow_real_nets", "expires"}


@dataclass(frozen=True, slots=True)
class Note:
    """One field of a line that is not kept as it is, and what that means for the account."""

    number: int
    name: str
    field: str
    value: str
    meaning: str
    grave: bool = False

    def __str__(self) -> str:
        """Return it as a clause."""
        return f"{self.field} {self.value}: {self.meaning}"


def notes(settings: Settings, line: Line, *, own_quota: Bytes | None) -> list[Note]:
    """Return a note on each field of *line* that is not kept as it is.

    *own_quota* is the mailbox override that the account gets; ``None`` if the role's suffices.
    """
    return [
        Note(line.number, line.name, field, _format_value(field, value), meaning, grave)
        for field, value, meaning, grave in _fields_not_kept(settings, line, own_quota)
    ]


def notes_on_ignored(
    settings: Settings,
    account: AccountRow,
    line: Line,
    aliases: Iterable[str],
    *,
    now: UnixSeconds,
) -> list[Note]:
    """Return a note on each field of *line* that a refresh of the existing *account* ignores.

    *aliases* are those that it does not have. Passwords get no note: users set their own.
    """
    overrides = line.extras.overrides
    found = [
        (column, limit_text(column, overrides[column]))
        for column in OVERRIDES
        if column in overrides and overrides[column] != getattr(account, column)
    ]
    if line.foreign.quota not in {None, mailbox_quota(settings, account, now=now)}:
        found.append(("quota", format_size(line.foreign.quota or 0)))
    found += [(f"suspended_{stop.scope}", stop.reason) for stop in line.extras.suspended]
    found += [("aliases", alias) for alias in aliases]
    meaning = "left as it is: --refresh changes role, condition, second mailbox, missing identity"
    return [
        Note(line.number, line.name, field, _format_value(field, v), meaning) for field, v in found
    ]


def _fields_not_kept(
    settings: Settings, line: Line, own_quota: Bytes | None
) -> Iterator[tuple[str, str, str, bool]]:
    site, foreign = settings.site, line.foreign
    ours = site.mail_home.replace("{name}", line.name)
    if foreign.home and posixpath.normpath(foreign.home) != posixpath.normpath(ours):
        yield "home", foreign.home, f"Dovecot would look for the mail in {ours}", True
    if owner := _other_owner(site, foreign.uid, foreign.gid):
        yield (
            "uid:gid",
            owner,
            f"Dovecot would open the mail as {site.mail_uid}:{site.mail_gid}",
            True,
        )
    if own_quota is not None:
        size = format_size(own_quota) if own_quota else "unlimited"
        yield "quota", size, "kept as a mailbox size of the account's own", False
    if foreign.quota is not None and foreign.quota > MAX_SIZE:
        yield (
            "quota",
            f"{foreign.quota} bytes",
            "more than gatepost can store; the role's quota applies",
            False,
        )
    for field, value in foreign.fields:
        yield field, value, *_meaning(field)


def _meaning(field: str) -> tuple[str, bool]:
    if _MAIL.fullmatch(field):
        return "Dovecot would look for the mail where its settings put it for every account", True
    if _QUOTA.fullmatch(field):
        return "not kept; gatepost has one size for the whole mailbox", False
    return _MEANINGS.get(field, "not kept"), field in _GRAVE


def _other_owner(site: SiteSettings, uid: str, gid: str) -> str:
    """Return the owner of the mail if it differs from gatepost's settings."""
    same_uid = not uid or _user(uid) == site.mail_uid
    same_gid = not gid or _group(gid) == site.mail_gid
    return "" if same_uid and same_gid else f"{uid}:{gid}"


def _user(text: str) -> int | None:
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):
        return None


def _group(text: str) -> int | None:
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return grp.getgrnam(text).gr_gid
    except (KeyError, ValueError):
        return None


def _format_value(field: str, value: str) -> str:
    if _SECRET.search(field):
        return "(not shown)"
    text = redact(value)
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"
