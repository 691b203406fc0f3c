"""What a login is checked against: one fresh read, no cache, no password written here."""

from dataclasses import dataclass

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from config.settings import Settings
from store.accounts import row_of
from store.directory import Suspended, effective, generous
from store.engine import Store
from store.errors import NotFound
from store.models import Account, PasswordEvent, Suspension


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account as the login edge needs it."""

    account: int
    name: str
    role: str
    condition: str
    password: str | None  # {SCHEME}hash
    initial: bool
    mailbox: int  # bytes in force now; 0 is unlimited
    suspended: tuple[Suspended, ...]  # in force now

    def stopped(self, scope: str) -> Suspended | None:
        """Return the suspension that stops *scope* (``"sending"``, ``"everything"``)."""
        return next((s for s in self.suspended if s.scope in {scope, "everything"}), None)


def credentials(
    store: Store, settings: Settings, name: str, *, now: int | None = None
) -> Credentials | None:
    """Return the credentials of *name* (or alias), ``None`` for nobody of ours.

    Raises `StoreUnavailable`.
    """
    with store.reading() as session:
        at = store.now(session) if now is None else now
        try:
            row = row_of(session, settings, name)
        except NotFound:
            return None
        role = settings.roles.get(row.role) or generous(settings)
        mailbox = effective(row.mailbox, row.mailbox_until, of_role=role.mailbox, now=at)
        return Credentials(
            account=row.id,
            name=row.name,
            role=row.role,
            condition=row.condition,
            password=row.password,
            initial=row.initial,
            mailbox=mailbox,
            suspended=_stops(session, row, at),
        )


def upgrade_hash(store: Store, account: int, *, old: str, new: str, now: int | None = None) -> bool:
    """Replace the hash *old* by *new*, a stronger one of the same password.

    Only while *old* is still there: a password changed meanwhile wins. Not a
    change anybody must see, so no revision and no audit row; a password event.
    """
    with store.changing() as session:
        at = store.now(session) if now is None else now
        kept = select(Account.id).where(Account.id == account, Account.password == old)
        if session.scalar(kept) is None:
            return False
        session.execute(
            update(Account)
            .where(Account.id == account, Account.password == old)
            .values(password=new)
        )
        session.add(PasswordEvent(account_id=account, at=at, how="upgraded"))
        return True


def _stops(session: Session, row: Account, now: int) -> tuple[Suspended, ...]:
    query = select(Suspension).where(
        Suspension.account_id == row.id,
        Suspension.ended_at.is_(None),
        or_(Suspension.until.is_(None), Suspension.until > now),
    )
    return tuple(
        Suspended("sending" if s.scope == "sending" else "everything", s.reason, s.until)
        for s in session.scalars(query)
    )
