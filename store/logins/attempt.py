"""All that a login is decided by, read on one connection: the account and its standing."""

from dataclasses import dataclass

from config.settings import Settings
from store.engine import Store
from store.logins.budgets import BudgetState
from store.logins.credentials import Credentials, read
from store.logins.guesses import standing
from store.people.names import MAX_ADDRESS, canonical


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who somebody claims to be, ``None`` for nobody of ours, and what may still fail."""

    name: str
    found: Credentials | None
    standing: BudgetState


def attempt(store: Store, settings: Settings, user: str, *, remote: str, now: int) -> Attempt:
    """Return what a login of *user* from *remote* is decided by. Raises `StoreUnavailable`."""
    with store.connection() as connection:
        found = read(connection, settings, user, now=now) if is_text(user) else None
        name = found.name if found else canonical(user, settings.site)
        account = found.account if found else None
        at = standing(connection, name=name, account=account, remote=remote, now=now)
    return Attempt(name, found, at)


def is_text(user: str) -> bool:
    """Return whether a database can be asked for *user*: NUL and lone surrogates are no text."""
    return user.isprintable() and len(user) <= MAX_ADDRESS
