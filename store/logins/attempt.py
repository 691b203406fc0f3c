"""All that a login is decided by, read on one connection: the account and its standing."""

from dataclasses import dataclass

from config.settings import Settings
from store.engine import Store
from store.logins.budgets import BudgetState
from store.logins.credentials import Credentials, read_credentials
from store.logins.guesses import budget_state
from store.people.names import MAX_ADDRESS, canonical


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who somebody claims to be, ``None`` for nobody of ours, and what may still fail."""

    name: str
    account: Credentials | None
    state: BudgetState


def read_attempt(store: Store, settings: Settings, user: str, *, remote: str, now: int) -> Attempt:
    """Return what a login of *user* from *remote* is decided by. Raises `StoreUnavailable`."""
    with store.connection() as connection:
        account = read_credentials(connection, settings, user, now=now) if is_text(user) else None
        name = account.name if account else canonical(user, settings.site)
        number = account.account if account else None
        state = budget_state(connection, name=name, account=number, remote=remote, now=now)
    return Attempt(name, account, state)


def is_text(user: str) -> bool:
    """Return whether a database can be asked for *user*: NUL and lone surrogates are no text."""
    return user.isprintable() and len(user) <= MAX_ADDRESS
