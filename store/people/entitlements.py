"""What an account may: the role, its overrides, the condition. Pure."""

from dataclasses import dataclass
from typing import Literal, TypeVar

from config.settings import RoleSettings, Settings
from config.units import Rate

T = TypeVar("T")
Override = tuple[T | None, int | None]  # a value that replaces the role's, and until when
Scope = Literal["sending", "everything"]


@dataclass(frozen=True, slots=True)
class Suspended:
    """Why and until when (``None``: until an operator ends it)."""

    scope: Scope
    reason: str
    until: int | None


@dataclass(frozen=True, slots=True)
class Person:
    """An account as the services see it."""

    account: int  # the row's id: stays when the name changes
    name: str
    role: str
    condition: str
    limits: RoleSettings
    initial: bool = False  # whether the password was made from the identity document
    mailbox_override: Override[int] = (None, None)
    attachments_override: Override[int] = (None, None)
    send_override: Override[tuple[Rate, ...]] = (None, None)
    suspensions: tuple[Suspended, ...] = ()

    def mailbox(self, now: float) -> int:
        """Return the quota in bytes; 0 is unlimited, as in Dovecot."""
        return effective(*self.mailbox_override, of_role=self.limits.mailbox, now=now)

    def attachments(self, now: float) -> int:
        """Return the limit of decoded attachment bytes in one message."""
        return effective(*self.attachments_override, of_role=self.limits.attachments, now=now)

    def send(self, now: float) -> tuple[Rate, ...]:
        """Return the sending limits of the account."""
        return effective(*self.send_override, of_role=self.limits.send, now=now)

    def suspended(self, now: float, scope: Scope) -> Suspended | None:
        """Return the suspension that stops *scope*; ``everything`` stops sending too."""
        for each in self.suspensions:
            in_force = each.until is None or now < each.until
            if in_force and each.scope in {scope, "everything"}:
                return each
        return None


def effective(value: T | None, until: int | None, *, of_role: T, now: float) -> T:
    """Return *value* while it stands (``until`` is ``None`` or ahead), else the role's."""
    return of_role if value is None or (until is not None and now >= until) else value


def generous(settings: Settings) -> RoleSettings:
    """Return the largest of every limit: never refuse on ignorance."""
    roles = settings.roles.values()
    mailboxes = [role.mailbox for role in roles]
    return RoleSettings.model_construct(  # of values that are settings already, not of a file's
        mailbox=0 if 0 in mailboxes else max(mailboxes),
        attachments=max(role.attachments for role in roles),
        send=max((role.send for role in roles), key=_generosity),
    )


def _generosity(rates: tuple[Rate, ...]) -> float:
    return max((rate.limit for rate in rates), default=float("inf"))


def parse_rates(text: str | None) -> tuple[Rate, ...] | None:
    """Read the column ``account.send``: rates apart by spaces; ``""`` is no limit."""
    return None if text is None else tuple(Rate.parse(part) for part in text.split())
