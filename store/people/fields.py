"""The rules for an account's fields. Pure."""

from config.settings import Settings
from config.units import Rate, one_of_each_window
from store.errors import Refused
from store.people.names import MAX_ADDRESS, check_name, is_local, whole

MAX_CONDITION = 32  # the column's width
MAX_SIZE = 2**63 - 1  # the column's


def check_role(settings: Settings, role: str) -> None:
    """Raise `Refused` for a role that the settings do not know."""
    if role not in settings.roles:
        raise Refused(f"no role {role!r} in the settings; there are {', '.join(settings.roles)}")


def check_condition(condition: str) -> None:
    """Raise `Refused` for a word that the column cannot hold."""
    if not 0 < len(condition) <= MAX_CONDITION or not condition.isprintable():
        raise Refused(f"the condition {condition!r} is not a word of 1 to {MAX_CONDITION} letters")


def check_alias(alias: str) -> None:
    """Raise `Refused` for a name, as `store.people.names` gives it, that cannot be an alias."""
    if is_local(alias):
        try:
            check_name(alias)
        except ValueError as error:
            raise Refused(str(error)) from None
    elif len(alias) > MAX_ADDRESS or not alias.isprintable():
        raise Refused(f"the alias {alias!r} is not a mail address")


def second_mailbox(settings: Settings, address: str | None) -> str | None:
    """Return *address* as it is kept; raise `Refused` for one of ours and for nonsense."""
    if not address:
        return None
    text = address.strip()
    local, _, domain = text.rpartition("@")
    if not local or "." not in domain or len(text) > MAX_ADDRESS or not text.isprintable():
        raise Refused(f"{address!r} is not a mail address")
    if is_local(whole(text, settings.site)):
        raise Refused(f"{address!r} is one of our own mailboxes; a second mailbox is elsewhere")
    return text


def check_size(size: int) -> int:
    """Return *size*; raise `Refused` for one that the column cannot hold."""
    if size > MAX_SIZE:
        raise Refused(f"{size} bytes are more than any disk holds")
    return size


def send_limits(text: str) -> str:
    """Return the rates of *text* as they are kept; raise `Refused`."""
    if not text.strip():
        raise Refused('no rates; where there is to be no limit, say "unlimited"')
    try:
        rates = one_of_each_window(tuple(Rate.parse(part) for part in text.split()))
    except ValueError as error:
        raise Refused(str(error)) from None
    return " ".join(str(rate) for rate in rates)
