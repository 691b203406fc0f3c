"""What the store knows about a login, read on one connection: the account and its budgets."""

from dataclasses import dataclass

from config.settings import Settings
from config.units import UnixSeconds
from store.engine import Store
from store.logins.budgets import BudgetState
from store.logins.credentials import Credentials, read_credentials
from store.logins.guesses import budget_state
from store.people.names import MAX_ADDRESS, canonical


@dataclass(frozen=True, slots=True)
class Attempt:
    """The account that a login names (``None`` if unknown), and the budgets it is up against."""

    name: str
    account: Credentials | None
    state: BudgetState


def read_attempt(
    store: Store, settings: Settings, user: str, *, remote: str, now: UnixSeconds
) -> Attempt:
    """Read what decides a login of *user* from *remote*. Raises `StoreUnavailable`."""
    with store.connection() as connection:
        account = read_credentials(connection, settings, user, now=now) if is_text(user) else None
        name = account.name if account else canonical(user, settings.site)
        number = account.account if account else None
        state = budget_state(connection, name=name, account=number, remote=remote, now=now)
    return Attempt(name, account, state)


def is_text(user: str) -> bool:
    """Return whether a database accepts *user* as text: no NUL, no lone surrogate."""
    return user.isprintable() and len(user) <= MAX_ADDRESS
