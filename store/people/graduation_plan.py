"""Plan a graduation: which accounts, and what happens to their quotas. Writes nothing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from config.settings import Settings
from config.units import Bytes, UnixSeconds
from store import bulk
from store.engine import Store
from store.errors import NotFound, Refused
from store.models import AccountRow
from store.people.entitlements import effective, mailbox_quota, role_limits
from store.people.fields import check_role
from store.people.names import intended_name
from store.people.view import AccountView, row_of

STUDENT = "student"
ROLE = "alumni"
GRACE_SECONDS = 90 * 86400  # a summer to clean up in
T = TypeVar("T")
MeasureMailbox = Callable[[str], Bytes | None]  # by name; None: not measurable


@dataclass(frozen=True, slots=True)
class Graduate:
    """One account, and what graduating changes for it."""

    account: int  # the row's id
    name: str
    role: str  # before
    to: str
    old_quota: Bytes
    new_quota: Bytes
    used: Bytes | None
    keeps_until: UnixSeconds | None  # the old quota applies until then
    own: Bytes | None = None  # the mailbox override that ends; an undo restores it

    @property
    def is_over(self) -> bool:
        """Whether the mailbox holds more than the new quota (0 is unlimited)."""
        return bool(self.new_quota) and (self.used or 0) > self.new_quota


@dataclass(frozen=True, slots=True)
class GraduationPlan:
    """What graduating would do."""

    graduates: tuple[Graduate, ...]
    already: tuple[str, ...]  # alumni before
    refused: tuple[tuple[str, str], ...]  # name and reason

    @property
    def over(self) -> tuple[Graduate, ...]:
        """The accounts that hold more than their new quota."""
        return tuple(each for each in self.graduates if each.is_over)

    @property
    def unmeasured(self) -> tuple[Graduate, ...]:
        """The accounts whose mail could not be measured; they get the grace period as well."""
        return tuple(each for each in self.graduates if each.used is None)


def cohort(store: Store, prefix: str, *, role: str = STUDENT) -> list[str]:
    """Return the names of *role* that start with *prefix*, such as one year's student numbers."""
    if not prefix.strip():
        raise Refused("a cohort needs a prefix: without one it would be every account")
    query = (
        select(AccountRow.name)
        .where(AccountRow.removed_at.is_(None), AccountRow.role == role)
        .where(AccountRow.name.startswith(prefix.casefold(), autoescape=True))
        .order_by(AccountRow.name)
    )
    with store.reading() as session:
        return list(session.scalars(query))


def plan(
    store: Store,
    settings: Settings,
    names: Iterable[str],
    *,
    measure: MeasureMailbox,
    grace: int = GRACE_SECONDS,
    role: str = ROLE,
    now: UnixSeconds | None = None,
) -> GraduationPlan:
    """Return what graduating *names* would change; raise `Refused` for an unknown *role*."""
    check_role(settings, role)
    found: dict[int, AccountRow] = {}
    refused = []
    wanted = list(dict.fromkeys(names))
    with store.reading() as session:
        at = store.now(session, now)
        known = _by_name(session, settings, wanted)
        for name in wanted:
            try:
                row = known.get(name) or row_of(session, settings, name)  # an alias
                found[row.id] = row
            except NotFound as error:
                refused.append((name, str(error)))
    already = tuple(row.name for row in found.values() if row.role == role)
    # Outside the transaction: measuring a cohort takes minutes.
    graduates = tuple(
        graduate_of(settings, row, role, used=measure(row.name), grace=grace, now=at)
        for row in found.values()
        if row.role != role
    )
    return GraduationPlan(graduates, already, tuple(refused))


def shrinks(settings: Settings, account: AccountRow | AccountView, role: str) -> bool:
    """Return whether changing to *role* would shrink the quota: then graduate instead."""
    if account.mailbox is not None and account.mailbox_until is None:
        return False  # a permanent override outlasts the role
    before = role_limits(settings, account.role).mailbox
    after = settings.roles[role].mailbox
    return bool(after) and (not before or after < before)


def graduate_of(
    settings: Settings,
    row: AccountRow,
    role: str,
    *,
    used: Bytes | None,
    grace: int,
    now: UnixSeconds,
) -> Graduate:
    """Return what becoming *role* changes for the account *row*, which holds *used* bytes."""
    old = mailbox_quota(settings, row, now=now)
    new = settings.roles[role].mailbox
    own = effective(row.mailbox, row.mailbox_until, of_role=None, now=now)
    # An unmeasured account gets the grace period too, so that ignorance never refuses mail.
    needs_grace = bool(new) and (used is None or used > new)
    return Graduate(
        account=row.id,
        name=row.name,
        role=row.role,
        to=role,
        old_quota=old,
        new_quota=new,
        used=used,
        keeps_until=now + grace if needs_grace else None,
        own=own,
    )


def _by_name(session: Session, settings: Settings, names: Sequence[str]) -> dict[str, AccountRow]:
    """Return the accounts by *names* as given, leaving out aliases and unknown names."""
    plain = {name: intended_name(name, settings.site) for name in names}
    rows = _held(session, AccountRow.name, [each for each in plain.values() if each.isprintable()])
    found = {row.name: row for row in rows}
    return {name: found[each] for name, each in plain.items() if each in found}


def _held(
    session: Session, column: InstrumentedAttribute[T], values: Sequence[T]
) -> list[AccountRow]:
    rows: list[AccountRow] = []
    for part in bulk.batches(values):
        query = select(AccountRow).where(AccountRow.removed_at.is_(None), column.in_(part))
        rows += session.scalars(query)
    return rows
