"""Failed logins, counted so that guessing is hopeless and owners still get in.

Three kinds of subject have a budget of failures that refills with time: an account, a network
(an IPv4 address, an IPv6 /64), and a known pair of both. A failure is charged to all of them.
From a network where the account has logged in before, only the pair's budget can block it: an
attacker elsewhere cannot lock the owner out, and one infected computer in a lab cannot lock out
the other users there. From anywhere else, the budgets of the account and of the network block it.
Unknown names have budgets too, and a wrong password is answered 'blocked' once any budget is
exhausted (`BudgetState.is_spent`). The answer never reveals whether an account exists.

A budget is one row with one time (see `store.logins.budgets`), changed by one statement: exact
for all processes and machines that share the store. Failures that the store could not take are
counted in the process alone (`dovecot_auth.local_failures`).
"""

from collections.abc import Collection
from contextlib import suppress
from operator import attrgetter

from sqlalchemy import Connection, bindparam, case, delete, func, insert, literal, select, update

from config.units import UnixSeconds
from store import bulk
from store.engine import Store
from store.errors import Refused
from store.logins.budgets import (
    ACCOUNT_BUDGET,
    ACCOUNT_REFILL,
    KNOWN_SECONDS,
    NETWORK_BUDGET,
    NETWORK_PREFIX,
    NETWORK_REFILL,
    SEEN_AGAIN_SECONDS,
    Budget,
    BudgetState,
    account_subject,
    budgets_for,
    network_of,
)
from store.models import AccountRow, GuessRow, OriginRow

BATCH = 200  # rows deleted in one transaction
MAX_LISTED = 1000  # blocked networks; an attack may come from more, but nobody reads them

# Built once: at a login, building a statement costs more than running it.
_FULL_AT = select(GuessRow.subject, GuessRow.full_at).where(
    GuessRow.subject.in_(bindparam("subjects", expanding=True))
)
_SEEN_AT = select(OriginRow.at).where(
    OriginRow.account_id == bindparam("account"), OriginRow.network == bindparam("network")
)


def budget_state(
    connection: Connection, *, name: str, account: int | None, remote: str, now: UnixSeconds
) -> BudgetState:
    """Return the budgets for a login of *name* from *remote*, and what is left of them."""
    network = network_of(remote)
    # Queried for unknown accounts too: the same statements take the same time.
    seen_at: int | None = connection.scalar(
        _SEEN_AT, {"account": account or 0, "network": network or ""}
    )
    known = seen_at is not None and seen_at > now - KNOWN_SECONDS
    budgets = budgets_for(name, network, known=known)
    rows = connection.execute(_FULL_AT, {"subjects": [each.subject for each in budgets]})
    full_at = {row.subject: row.full_at for row in rows}
    return BudgetState(
        budgets=budgets,
        left={
            each.subject: each.size - each.spent(full_at.get(each.subject, 0), now=now)
            for each in budgets
        },
        seen_lately=seen_at is not None and seen_at > now - SEEN_AGAIN_SECONDS,
    )


def charge(store: Store, budgets: Collection[Budget], *, now: UnixSeconds) -> None:
    """Count one failure against each of *budgets*, or none. Raises `StoreUnavailable`."""
    # Always in the same order, so that two processes cannot deadlock on the same budgets.
    in_order = sorted(budgets, key=attrgetter("subject"))
    for _ in in_order:
        with suppress(Refused):  # another process inserted the row first: now it exists
            _charge(store, in_order, now)
            return
    _charge(store, in_order, now)


def remember(store: Store, account: int, remote: str, *, now: UnixSeconds) -> None:
    """Record that *account* logged in from *remote*. Raises `StoreUnavailable`."""
    network = network_of(remote)
    if network is None:
        return
    mark = (OriginRow.account_id == account, OriginRow.network == network)
    try:
        with store.changing() as session:
            if (
                not session.connection()
                .execute(update(OriginRow).where(*mark).values(at=now))
                .rowcount
            ):
                session.add(OriginRow(account_id=account, network=network, at=now))
    except Refused:
        return  # another process recorded it at the same moment


def closed_until(store: Store, name: str, *, now: UnixSeconds) -> int | None:
    """Return when no budget of *name* blocks logins any more; ``None`` if none does now."""
    query = select(func.max(GuessRow.full_at)).where(
        GuessRow.subject.startswith(account_subject(name))
    )
    with store.reading() as session:
        full_at = session.scalar(query) or 0
    opens = full_at - (ACCOUNT_BUDGET - 1) * ACCOUNT_REFILL  # a pair's budget is the same
    return opens if opens > now else None


def reset_failures(store: Store, name: str) -> bool:
    """Delete all failures of *name*, from every network; return whether there were any."""
    own = GuessRow.subject.startswith(account_subject(name))
    with store.changing() as session:
        return bool(session.connection().execute(delete(GuessRow).where(own)).rowcount)


def closed_networks(
    store: Store, *, now: UnixSeconds, account: str | None = None
) -> dict[str, int]:
    """Return the networks that are blocked for accounts unknown there, and until when.

    With *account*, only the known networks of that account.
    """
    spent = (NETWORK_BUDGET - 1) * NETWORK_REFILL
    query = (
        select(GuessRow.subject, GuessRow.full_at)
        .where(GuessRow.subject.startswith(NETWORK_PREFIX), GuessRow.full_at > now + spent)
        .order_by(GuessRow.full_at.desc())
        .limit(MAX_LISTED)
    )
    if account is not None:
        own = select(AccountRow.id).where(AccountRow.name == account).scalar_subquery()
        places = select(literal(NETWORK_PREFIX) + OriginRow.network).where(
            OriginRow.account_id == own
        )
        query = query.where(GuessRow.subject.in_(places))
    with store.reading() as session:
        return {
            row.subject.removeprefix(NETWORK_PREFIX): row.full_at - spent
            for row in session.execute(query)
        }


def reset_network_failures(store: Store, remote: str) -> bool:
    """Delete all failures of the network of *remote*; return whether there were any.

    *remote* is an address or a network as `closed_networks` names it; else raises ``ValueError``.
    """
    network = network_of(remote.partition("/")[0])
    if network is None:
        raise ValueError(f"{remote} is not an IP address")
    own = GuessRow.subject == NETWORK_PREFIX + network
    with store.changing() as session:
        return bool(session.connection().execute(delete(GuessRow).where(own)).rowcount)


def delete_expired(store: Store, *, now: UnixSeconds) -> int:
    """Delete up to `BATCH` full budgets and `BATCH` networks not seen lately; return how many."""
    with store.changing() as session:
        full = session.scalars(
            select(GuessRow.subject).where(GuessRow.full_at <= now).limit(BATCH)
        ).all()
        old = session.scalars(
            select(OriginRow.id).where(OriginRow.at <= now - KNOWN_SECONDS).limit(BATCH)
        ).all()
        if full:
            session.execute(
                delete(GuessRow).where(GuessRow.subject.in_(full), GuessRow.full_at <= now)
            )
        if old:
            session.execute(delete(OriginRow).where(OriginRow.id.in_(old)))
        return len(full) + len(old)


def delete_all_expired(store: Store) -> int:
    """Delete all full budgets and all networks not seen lately; raises `StoreUnavailable`."""
    with store.reading() as session:
        now = store.now(session)
    return bulk.delete_all(lambda: delete_expired(store, now=now))


def _charge(store: Store, budgets: Collection[Budget], now: UnixSeconds) -> None:
    with store.changing() as session:
        connection = session.connection()
        for each in budgets:
            full_at, ceiling = GuessRow.full_at, each.ceiling(now)
            start = case((full_at > ceiling, ceiling), (full_at > now, full_at), else_=now)
            counted = update(GuessRow).where(GuessRow.subject == each.subject)
            if not connection.execute(counted.values(full_at=start + each.refill)).rowcount:
                first = {"subject": each.subject, "full_at": now + each.refill}
                connection.execute(insert(GuessRow).values(first))
