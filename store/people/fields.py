"""Which values the fields of an account may have. Pure."""

from config.settings import Settings
from config.units import Bytes, Rate, reject_equal_windows
from store.errors import Refused
from store.people.names import MAX_ADDRESS, check_name, is_local, whole

MAX_CONDITION = 32  # the column's width
MAX_SIZE = 2**63 - 1  # the column's


def check_role(settings: Settings, role: str) -> None:
    """Raise `Refused` for a role that the settings do not know."""
    if role not in settings.roles:
        raise Refused(f"no role {role!r} in the settings; there are {', '.join(settings.roles)}")


def check_condition(condition: str) -> None:
    """Raise `Refused` for a condition that the column cannot hold."""
    if not 0 < len(condition) <= MAX_CONDITION or not condition.isprintable():
        raise Refused(
            f"the condition {condition!r} is not 1 to {MAX_CONDITION} printable characters"
        )


def check_alias(alias: str) -> None:
    """Raise `Refused` if *alias*, in its canonical form, cannot be an alias."""
    if is_local(alias):
        try:
            check_name(alias)
        except ValueError as error:
            raise Refused(str(error)) from None
    elif len(alias) > MAX_ADDRESS or not alias.isprintable():
        raise Refused(f"the alias {alias!r} is not a mail address")


def second_mailbox(settings: Settings, address: str | None) -> str | None:
    """Return *address* as it is stored; raise `Refused` if it is invalid or local."""
    if not address:
        return None
    text = address.strip()
    local, _, domain = text.rpartition("@")
    if not local or "." not in domain or len(text) > MAX_ADDRESS or not text.isprintable():
        raise Refused(f"{address!r} is not a mail address")
    if is_local(whole(text, settings.site)):
        raise Refused(f"{address!r} is a local mailbox; a second mailbox must be elsewhere")
    return text


def check_size(size: Bytes) -> Bytes:
    """Return *size*; raise `Refused` for one that the column cannot hold."""
    if size > MAX_SIZE:
        raise Refused(f"{size} bytes is more than the store can hold")
    return size


def send_limits(text: str) -> str:
    """Return the rates of *text* as they are stored; raise `Refused`."""
    if not text.strip():
        raise Refused('no rates given; for no limit, write "unlimited"')
    try:
        rates = reject_equal_windows(tuple(Rate.parse(part) for part in text.split()))
    except ValueError as error:
        raise Refused(str(error)) from None
    return " ".join(str(rate) for rate in rates)
