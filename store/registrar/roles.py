"""A file that maps names to roles, for account files that have no column for it. Pure."""

import re
from collections.abc import Iterable

from config.settings import Settings
from store.errors import Refused
from store.people.names import intended_name
from store.redaction import is_name_like

_BETWEEN = re.compile(r"[\s,;:]+")


def read_roles(settings: Settings, lines: Iterable[str]) -> dict[str, str]:
    """Return roles by account name; raise `Refused`, with the line number, for an invalid line.

    A line is a name and a role, separated by blanks, a comma, semicolon or colon; ``#`` begins
    a comment.
    """
    roles: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        words = [word for word in _BETWEEN.split(line.partition("#")[0].strip()) if word]
        if not words:
            continue
        if len(words) != 2 or not is_name_like(words[0]):  # noqa: PLR2004 - a name and a role
            raise Refused(f"line {number}: not a name and a role")
        name, role = intended_name(words[0], settings.site), words[1].casefold()
        if not is_name_like(role) or role not in settings.roles:
            raise Refused(f"line {number}: the role is not one of {', '.join(settings.roles)}")
        if roles.setdefault(name, role) != role:
            raise Refused(
                f"line {number}: {name} already has the role {roles[name]} from a line above"
            )
    return roles
