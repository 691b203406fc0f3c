"""Guessed passwords, counted so that guessing gets nowhere and owners still get in.

Three kinds of subject have a budget of failures that refills with time: an account,
a network (an IPv4 address, an IPv6 /64), and a known pair of both. Where an account
has logged in before, only the pair counts: whoever guesses from elsewhere cannot
lock the owner out, and one infected computer in a lab cannot lock out the others
that are used there. Everywhere else account and network count. Names that do not
exist have a budget as well, so that nothing tells them apart.

The budget is kept as one number, the time at which it will be full again (GCRA):
one row, one statement, exact for every process and machine that shares the store.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, case, delete, func, select, update

from store.engine import Store
from store.errors import Refused
from store.models import Guess, Origin
from store.subjects import client

# NIST SP 800-63B-4 3.2.2 wants at most 100 failures in a row: 50 at once, and then one in
# ten minutes, is 194 in the first day from everywhere else together.
ACCOUNT_BUDGET = 50
ACCOUNT_REFILL = 600  # seconds for one more
# A lecture hall behind one address mistypes more than one person does.
NETWORK_BUDGET = 200
NETWORK_REFILL = 60
# One's own devices; a wrong password that is only repeated is not counted at all.
PAIR_BUDGET = 50
PAIR_REFILL = 600
# A place counts as known for a semester's break after the last login there.
KNOWN_SECONDS = 120 * 86400
# Seen again within a day, a place is not written again: one write a day and place.
SEEN_AGAIN_SECONDS = 86400
BATCH = 200  # rows a transaction while forgetting, as in store.aging


@dataclass(frozen=True, slots=True)
class Budget:
    """A subject that a failure is charged to."""

    subject: str
    size: int
    refill: int

    def left(self, full_at: int, *, now: int) -> int:
        """Return how many failures are left."""
        spent = -(-max(0, full_at - now) // self.refill)  # rounded up
        return self.size - spent


@dataclass(frozen=True, slots=True)
class Standing:
    """What a login is up against."""

    budgets: tuple[Budget, ...]
    left: Mapping[str, int]  # failures, by the budgets' subjects
    seen_lately: bool  # this place of this account needs no new mark

    @property
    def is_blocked(self) -> bool:
        """Whether a budget has no failure left."""
        return any(count <= 0 for count in self.left.values())

    def has_room(self, pending: Mapping[str, int]) -> bool:
        """Whether one more may be checked while *pending* of each subject are: all may fail."""
        return all(pending.get(subject, 0) < count for subject, count in self.left.items())


# Made once: at a login, building a statement costs more than running it.
_FULL_AT = select(Guess.subject, Guess.full_at).where(
    Guess.subject.in_(bindparam("subjects", expanding=True))
)
_SEEN_AT = select(Origin.at).where(
    Origin.account_id == bindparam("account"), Origin.network == bindparam("network")
)


def standing(
    connection: Connection, *, name: str, account: int | None, remote: str, now: int
) -> Standing:
    """Return the budgets that count for *name* from *remote*, and what is left of them."""
    network = network_of(remote)
    # An account that does not exist asks as well: same statements, same time.
    seen_at: int | None = connection.scalar(
        _SEEN_AT, {"account": account or 0, "network": network or ""}
    )
    known = seen_at is not None and seen_at > now - KNOWN_SECONDS
    budgets = _budgets(name, network, known=known)
    rows = connection.execute(_FULL_AT, {"subjects": [each.subject for each in budgets]})
    full_at = {row.subject: row.full_at for row in rows}
    return Standing(
        budgets=budgets,
        left={each.subject: each.left(full_at.get(each.subject, 0), now=now) for each in budgets},
        seen_lately=seen_at is not None and seen_at > now - SEEN_AGAIN_SECONDS,
    )


def charge(store: Store, budgets: Collection[Budget], *, now: int) -> None:
    """Count one failure against each of *budgets*. Raises `StoreUnavailable`."""
    for budget in budgets:
        try:
            _charge(store, budget, now)
        except Refused:  # somebody inserted the row first: now it is there
            _charge(store, budget, now)


def remember(store: Store, account: int, remote: str, *, now: int) -> None:
    """Mark that *account* logged in from *remote*. Raises `StoreUnavailable`."""
    network = network_of(remote)
    if network is None:
        return
    mark = (Origin.account_id == account, Origin.network == network)
    try:
        with store.changing() as session:
            if (
                not session.connection()
                .execute(update(Origin).where(*mark).values(at=now))
                .rowcount
            ):
                session.add(Origin(account_id=account, network=network, at=now))
    except Refused:
        return  # another process marked it in this moment


def network_of(remote: str) -> str | None:
    """Return the network whose budget *remote* shares; ``None`` for no address."""
    try:
        return client(remote).removeprefix("client ")
    except ValueError:
        return None


def closed_until(store: Store, name: str, *, now: int) -> int | None:
    """Return when *name* is open again to strangers and to each known place; ``None``: it is."""
    query = select(func.max(Guess.full_at)).where(Guess.subject.startswith(_account(name)))
    with store.reading() as session:
        full_at = session.scalar(query) or 0
    opens = full_at - (ACCOUNT_BUDGET - 1) * ACCOUNT_REFILL  # a pair's budget is as large
    return opens if opens > now else None


def forgive(store: Store, name: str) -> bool:
    """Give *name* its whole budgets back, everywhere (an operator reset the password)."""
    own = Guess.subject.startswith(_account(name))
    with store.changing() as session:
        return bool(session.connection().execute(delete(Guess).where(own)).rowcount)


def forget(store: Store, *, now: int) -> int:
    """Forget at most `BATCH` full budgets and `BATCH` old places; return how many."""
    with store.changing() as session:
        full = session.scalars(select(Guess.subject).where(Guess.full_at <= now).limit(BATCH)).all()
        old = session.scalars(
            select(Origin.id).where(Origin.at <= now - KNOWN_SECONDS).limit(BATCH)
        ).all()
        if full:
            session.execute(delete(Guess).where(Guess.subject.in_(full), Guess.full_at <= now))
        if old:
            session.execute(delete(Origin).where(Origin.id.in_(old)))
        return len(full) + len(old)


def _charge(store: Store, budget: Budget, now: int) -> None:
    start = case((Guess.full_at > now, Guess.full_at), else_=now)
    counted = update(Guess).where(Guess.subject == budget.subject)
    with store.changing() as session:
        if not session.connection().execute(counted.values(full_at=start + budget.refill)).rowcount:
            session.add(Guess(subject=budget.subject, full_at=now + budget.refill))


def _budgets(name: str, network: str | None, *, known: bool) -> tuple[Budget, ...]:
    account = _account(name)
    if network is None:  # no address came with the question: a local program asks
        return (Budget(account, ACCOUNT_BUDGET, ACCOUNT_REFILL),)
    if known:
        return (Budget(f"{account} {network}", PAIR_BUDGET, PAIR_REFILL),)
    return (
        Budget(account, ACCOUNT_BUDGET, ACCOUNT_REFILL),
        Budget(f"network {network}", NETWORK_BUDGET, NETWORK_REFILL),
    )


def _account(name: str) -> str:
    """A name may be anything a stranger typed; its hash has a length and no secrets of his."""
    return "guess " + hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]
