"""What an account may do: its role, its overrides, its suspensions. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from config.settings import RoleSettings, Settings
from config.units import Bytes, Rate, UnixSeconds

T = TypeVar("T")
Override = tuple[T | None, UnixSeconds | None]  # a value that replaces the role's, and until when
Scope = Literal["sending", "everything"]


@dataclass(frozen=True, slots=True)
class Suspended:
    """A suspension, until a time or (``None``) until an operator ends it."""

    scope: Scope
    reason: str
    until: UnixSeconds | None


class HasQuota(Protocol):
    """What `mailbox_quota` reads: an account's row or view, and the same columns of a query."""

    @property
    def role(self) -> str: ...  # noqa: D102
    @property
    def mailbox(self) -> Bytes | None: ...  # noqa: D102
    @property
    def mailbox_until(self) -> UnixSeconds | None: ...  # noqa: D102


class HasSendLimits(Protocol):
    """What `sending_limits` reads."""

    @property
    def role(self) -> str: ...  # noqa: D102
    @property
    def send(self) -> str | None: ...  # noqa: D102
    @property
    def send_until(self) -> UnixSeconds | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Person:
    """An account as the services see it."""

    account: int  # the row's id, which survives a change of name
    name: str
    role: str
    condition: str
    limits: RoleSettings
    initial: bool = False  # still the password made from the identity document
    mailbox_override: Override[Bytes] = (None, None)
    attachments_override: Override[Bytes] = (None, None)
    send_override: Override[tuple[Rate, ...]] = (None, None)
    suspensions: tuple[Suspended, ...] = ()

    def mailbox(self, now: float) -> Bytes:
        """Return the quota in bytes; 0 is unlimited, as in Dovecot."""
        return effective(*self.mailbox_override, of_role=self.limits.mailbox, now=now)

    def attachments(self, now: float) -> Bytes:
        """Return the limit of decoded attachment bytes in one message."""
        return effective(*self.attachments_override, of_role=self.limits.attachments, now=now)

    def send(self, now: float) -> tuple[Rate, ...]:
        """Return the sending limits of the account."""
        return effective(*self.send_override, of_role=self.limits.send, now=now)

    def suspended(self, now: float, scope: Scope) -> Suspended | None:
        """Return the suspension in force that stops *scope*; see `suspension_of`."""
        return suspension_of((s for s in self.suspensions if in_force(s.until, now)), scope)


def in_force(until: UnixSeconds | None, now: float) -> bool:
    """Return whether an override or a suspension holds at *now*; ``None`` is for good."""
    return until is None or now < until


def suspension_of(suspensions: Iterable[Suspended], scope: Scope) -> Suspended | None:
    """Return the first suspension that stops *scope*; ``everything`` stops sending too."""
    return next((each for each in suspensions if each.scope in {scope, "everything"}), None)


def scope_of(column: str) -> Scope:
    """Return the scope that the column ``suspension.scope`` holds, the wider one in doubt."""
    return "sending" if column == "sending" else "everything"


def effective(value: T | None, until: UnixSeconds | None, *, of_role: T, now: float) -> T:
    """Return the override *value* while it is in force, else the role's."""
    return value if value is not None and in_force(until, now) else of_role


def role_limits(settings: Settings, role: str) -> RoleSettings:
    """Return the limits of *role*; `generous` ones when the settings do not know it."""
    return settings.roles.get(role) or generous(settings)


def mailbox_quota(settings: Settings, account: HasQuota, *, now: float) -> Bytes:
    """Return the quota of *account* in force; 0 is unlimited, as in Dovecot."""
    of_role = role_limits(settings, account.role).mailbox
    return effective(account.mailbox, account.mailbox_until, of_role=of_role, now=now)


def sending_limits(settings: Settings, account: HasSendLimits, *, now: float) -> tuple[Rate, ...]:
    """Return the sending limits of *account* in force."""
    of_role = role_limits(settings, account.role).send
    return effective(parse_rates(account.send), account.send_until, of_role=of_role, now=now)


def generous(settings: Settings) -> RoleSettings:
    """Return the largest limit of any role in each field, so that ignorance never refuses mail."""
    roles = settings.roles.values()
    mailboxes = [role.mailbox for role in roles]
    return RoleSettings.model_construct(  # the values were validated with the settings
        mailbox=0 if 0 in mailboxes else max(mailboxes),
        attachments=max(role.attachments for role in roles),
        send=max((role.send for role in roles), key=_generosity),
    )


def _generosity(rates: tuple[Rate, ...]) -> float:
    return max((rate.limit for rate in rates), default=float("inf"))


def parse_rates(text: str | None) -> tuple[Rate, ...] | None:
    """Parse the column ``account.send``: rates separated by spaces; ``""`` is no limit."""
    return None if text is None else tuple(Rate.parse(part) for part in text.split())
