"""Suspend an account, from sending or from everything, and resume it (R2)."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.settings import Settings
from config.units import UnixSeconds
from store.audit import AuditContext, record
from store.engine import Store
from store.errors import NotFound, Refused
from store.models import AccountRow, SuspensionRow
from store.people.entitlements import Scope
from store.people.view import AccountView, get, row_of
from store.revision import advance

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
    with store.changing() as session:
        at = store.now(session) if now is None else now
        rev = advance(session)
        account = row_of(session, settings, name)
        _end(session, account, at, scope=scope)
        until = None if seconds is None else at + seconds
        session.add(
            SuspensionRow(
                account_id=account.id,
                scope=scope,
                reason=change.why[:MAX_REASON],
                created_at=at,
                until=until,
            )
        )
        account.rev = rev
        detail: dict[str, object] = {"scope": scope, "until": until}
        record(
            session, change, at=at, action="account.suspend", subject=account.name, detail=detail
        )
    return get(store, settings, name, now=now)


def resume(
    store: Store,
    settings: Settings,
    name: str,
    *,
    change: AuditContext,
    now: UnixSeconds | None = None,
) -> AccountView:
    """End every suspension of the account; raise `NotFound` when there is none."""
    with store.changing() as session:
        at = store.now(session) if now is None else now
        rev = advance(session)
        account = row_of(session, settings, name)
        if not _end(session, account, at):
            raise NotFound(f"{account.name} is not suspended")
        account.rev = rev
        record(session, change, at=at, action="account.resume", subject=account.name)
    return get(store, settings, name, now=now)


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
