"""What a login is checked against, read afresh each time, without a cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, select, update

from config.settings import Settings
from config.units import Bytes, UnixSeconds
from store.engine import Store
from store.models import AccountRow, AliasRow, PasswordEventRow, SuspensionRow
from store.people.entitlements import (
    Scope,
    Suspended,
    in_force,
    mailbox_quota,
    scope_of,
    suspension_of,
)
from store.people.names import stems, whole


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account as a login needs it."""

    account: int  # the row's id
    name: str
    role: str
    condition: str
    password: str | None  # {SCHEME}hash
    initial: bool
    mailbox: Bytes  # in force now; 0 is unlimited
    suspensions: tuple[Suspended, ...]  # in force now

    def suspended(self, scope: Scope) -> Suspended | None:
        """Return the suspension that stops *scope*."""
        return suspension_of(self.suspensions, scope)


# Built once: at a login, building a statement costs more than running it.
_ACCOUNT = (
    select(
        AccountRow.id,
        AccountRow.name,
        AccountRow.role,
        AccountRow.condition,
        AccountRow.password,
        AccountRow.initial,
        AccountRow.mailbox,
        AccountRow.mailbox_until,
        SuspensionRow.scope,
        SuspensionRow.reason,
        SuspensionRow.until,
    )
    .outerjoin(
        SuspensionRow,
        and_(SuspensionRow.account_id == AccountRow.id, SuspensionRow.ended_at.is_(None)),
    )
    .where(AccountRow.removed_at.is_(None))
)
_BY_NAME = _ACCOUNT.where(AccountRow.name == bindparam("wanted"))
_BY_ALIAS = _ACCOUNT.join(AliasRow, AliasRow.account_id == AccountRow.id).where(
    AliasRow.name == bindparam("wanted")
)


def credentials(
    store: Store, settings: Settings, name: str, *, now: UnixSeconds | None = None
) -> Credentials | None:
    """Return the credentials of *name*, which may be an alias; ``None`` for an unknown account.

    Raises `StoreUnavailable`.
    """
    if now is None:
        with store.reading() as session:
            now = store.now(session)
    with store.connection() as connection:
        return read_credentials(connection, settings, name, now=now)


def read_credentials(
    connection: Connection, settings: Settings, name: str, *, now: int
) -> Credentials | None:
    """Return the credentials of *name* as `credentials` does, on an open connection."""
    wanted = whole(name, settings.site)
    rows = _rows(connection, wanted)
    if not rows:  # at most 32 stems, and those only where "-" or "." is a delimiter
        rows = next(filter(None, (_rows(connection, s) for s in stems(wanted, settings.site))), [])
    if not rows:
        return None
    row = rows[0]
    return Credentials(
        account=row.id,
        name=row.name,
        role=row.role,
        condition=row.condition,
        password=row.password,
        initial=row.initial,
        mailbox=mailbox_quota(settings, row, now=now),
        suspensions=tuple(
            Suspended(scope_of(each.scope), each.reason, each.until)
            for each in rows
            if each.scope is not None and in_force(each.until, now)
        ),
    )


def _rows(connection: Connection, name: str) -> Sequence[Row[*tuple[Any, ...]]]:
    """Two queries, each served by an index; names first, because nearly all are."""
    wanted = {"wanted": name}
    return connection.execute(_BY_NAME, wanted).all() or connection.execute(_BY_ALIAS, wanted).all()


def upgrade_hash(
    store: Store, account: int, *, old: str, new: str, now: UnixSeconds | None = None
) -> bool:
    """Replace the hash *old* by *new*, a stronger one of the same password.

    Only while *old* is still there: a password changed in the meantime wins. Nobody needs to
    notice, so there is no new revision and no audit row, only a password event.
    """
    with store.changing() as session:
        at = store.now(session, now)
        kept = select(AccountRow.id).where(AccountRow.id == account, AccountRow.password == old)
        if session.scalar(kept) is None:
            return False
        session.execute(
            update(AccountRow)
            .where(AccountRow.id == account, AccountRow.password == old)
            .values(password=new)
        )
        session.add(PasswordEventRow(account_id=account, at=at, how="upgraded"))
        return True
