"""Suspend an account, from sending or from everything, and resume it (R2)."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.settings import Settings
from config.units import UnixSeconds
from store.audit import AuditContext, transaction
from store.engine import Store
from store.errors import NotFound, Refused
from store.models import AccountRow, SuspensionRow
from store.people.entitlements import Scope
from store.people.view import AccountView, row_of, view_of

MAX_REASON = 255


def suspend(
    store: Store,
    settings: Settings,
    name: str,
    *,
    scope: Scope,
    seconds: int | None,
    change: AuditContext,
    now: UnixSeconds | None = None,
) -> AccountView:
    """Suspend *scope* for *seconds* (``None``: until resumed); ``change.why`` is the reason.

    The mailbox keeps receiving. A second suspension of the same scope replaces the first.
    """
    if not change.why.strip():
        raise Refused("a suspension needs a reason")
    with transaction(store, change, now=now) as tx:
        rev = tx.rev()
        account = row_of(tx.session, settings, name)
        _end(tx.session, account, tx.at, scope=scope)
        until = None if seconds is None else tx.at + seconds
        tx.session.add(
            SuspensionRow(
                account_id=account.id,
                scope=scope,
                reason=change.why[:MAX_REASON],
                created_at=tx.at,
                until=until,
            )
        )
        account.rev = rev
        tx.record("account.suspend", account.name, {"scope": scope, "until": until})
        tx.session.flush()
        return view_of(tx.session, account, tx.at)


def resume(
    store: Store,
    settings: Settings,
    name: str,
    *,
    change: AuditContext,
    now: UnixSeconds | None = None,
) -> AccountView:
    """End every suspension of the account; raise `NotFound` when there is none."""
    with transaction(store, change, now=now) as tx:
        rev = tx.rev()
        account = row_of(tx.session, settings, name)
        if not _end(tx.session, account, tx.at):
            raise NotFound(f"{account.name} is not suspended")
        account.rev = rev
        tx.record("account.resume", account.name)
        tx.session.flush()
        return view_of(tx.session, account, tx.at)


def _end(session: Session, account: AccountRow, at: int, *, scope: Scope | None = None) -> bool:
    """End the suspensions of *account*, or only those of *scope*; return whether there were any."""
    query = select(SuspensionRow).where(
        SuspensionRow.account_id == account.id, SuspensionRow.ended_at.is_(None)
    )
    if scope is not None:
        query = query.where(SuspensionRow.scope == scope)
    stops = session.scalars(query).all()
    for stop in stops:
        stop.ended_at = at
    return bool(stops)
