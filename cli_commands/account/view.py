"""An account as operators see it."""

import time

from cli_commands.app import App
from cli_commands.output import when
from config.units import format_size
from store.people.entitlements import effective
from store.people.view import AccountView


def rows_of(app: App, view: AccountView) -> list[tuple[str, str]]:
    """Return rows of name and text: each value in force and its source."""
    role = app.settings.roles.get(view.role)
    now = time.time()
    rows = [
        ("name", view.name + initial_note(view)),
        ("role", view.role if role else f"{view.role} (not in the settings)"),
        ("condition", view.condition),
        ("password", "set" if view.has_password else "none: nobody can log in"),
        ("identity", "on file (keyed hash)" if view.has_identity else "not on file"),
        ("second mailbox", view.second_mailbox or "none"),
        ("aliases", ", ".join(view.aliases) or "none"),
    ]
    for label, own, until, size_of_role in (
        ("mailbox", view.mailbox, view.mailbox_until, role and role.mailbox),
        ("attachments", view.attachments, view.attachments_until, role and role.attachments),
    ):
        size = effective(own, until, of_role=size_of_role or 0, now=now)
        shown = format_size(size) if size or label != "mailbox" else "unlimited"
        rows.append((label, shown + _source(own is not None, until, now)))
    of_role = " ".join(map(str, role.send if role else ()))
    send = effective(view.send, view.send_until, of_role=of_role, now=now)
    source = _source(view.send is not None, view.send_until, now)
    rows.append(("send", (send or "no limit") + source))
    rows += [
        ("suspended", f"{s.scope} until {when(s.until, never='resumed')}: {s.reason}")
        for s in view.suspended
    ]
    rows.append(("created", when(view.created_at)))
    return rows


def _source(own: bool, until: int | None, now: float) -> str:
    if not own:
        return " (of the role)"
    if until is not None and until <= now:
        return f" (of the role; its own ended {when(until)})"
    return f" (own, until {when(until)})" if until is not None else " (own)"


def open_or_closed(until: int | None) -> str:
    """Return whether guessed passwords block logins (`store.logins.guesses`)."""
    if until is None:
        return "open"
    where = "from unknown networks or a known one"
    return f"blocked, {where}, until {when(until)}: too many wrong passwords"


def closed_rows(networks: dict[str, int]) -> list[tuple[str, str]]:
    """Return rows for known networks in which somebody guesses; `limit reset` unblocks one."""
    return [
        ("logins", f"blocked from {name} for accounts new there, until {when(until)}")
        for name, until in networks.items()
    ]


def initial_note(view: AccountView) -> str:
    """Return the mark shown after the name of an account with its initial password (R3)."""
    return " [initial password]" if view.initial else ""


def marks(view: AccountView) -> str:
    """Return the warnings that a list shows beside an account."""
    found = ["initial password"] if view.initial else []
    if not view.has_password:
        found.append("no password")
    found += [f"suspended: {stop.scope}" for stop in view.suspended]
    return ", ".join(found)
