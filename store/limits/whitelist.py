"""Exemptions of client addresses: permanent or timed, with a reason and an owner (R13, R20)."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.audit import AuditContext, transaction
from store.engine import Store
from store.errors import NotFound, Refused
from store.models import WhitelistRow

# A wider exemption would cover half the Internet: change the role's limits instead.
SHORTEST_PREFIX = {4: 8, 6: 19}
MAX_REASON = 255
MAX_DIGITS = 18  # of an entry's number, so that it fits 64 bits


@dataclass(frozen=True, slots=True)
class Exemption:
    """One exemption as operators see it."""

    id: int
    network: str
    created_at: int
    expires_at: int | None
    ended_at: int | None
    reason: str
    who: str

    def active(self, now: float) -> bool:
        """Return whether it lifts the limit at *now*."""
        return self.ended_at is None and (self.expires_at is None or now < self.expires_at)

    def covers(self, client: str) -> bool:
        """Return whether all of *client*, an address or a network, lies within."""
        own, other = ip_network(self.network), ip_network(client)
        if isinstance(own, IPv6Network):
            return isinstance(other, IPv6Network) and other.subnet_of(own)
        return isinstance(other, IPv4Network) and other.subnet_of(own)


def is_number(text: str) -> bool:
    """Return whether *text* is an entry's number rather than a network."""
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


def parse_network(text: str) -> str:
    """Return *text* (an address or a network) as CIDR; raise ``ValueError``.

    Host bits are an error: ``192.0.2.7/24`` is more often a typo than a wish for 256 addresses.
    """
    try:
        network = ip_network(text.strip())
    except ValueError as error:
        raise ValueError(f"{text!r} is neither an address nor a network: {error}") from None
    if network.version == 6 and network.network_address.ipv4_mapped:  # noqa: PLR2004
        if network.prefixlen != network.max_prefixlen:
            raise ValueError(f"{text!r}: write an IPv4-mapped network as IPv4")
        network = ip_network(ip_address(network.network_address.ipv4_mapped))
    if network.prefixlen < SHORTEST_PREFIX[network.version]:
        shortest = SHORTEST_PREFIX[network.version]
        raise ValueError(f"{network} is too wide; the widest is a /{shortest}")
    return str(network)


def add(
    store: Store, network: str, *, seconds: int | None, change: AuditContext, now: int | None = None
) -> Exemption:
    """Exempt *network* for *seconds* (``None``: for good); ``change.why`` is the reason.

    An active timed entry of the same network and owner is extended to *seconds* from now, never
    shortened. Raises `Refused`, `StoreUnavailable`.
    """
    cidr = parse_network(network)
    if not change.why.strip():
        raise Refused("an exemption needs a reason")
    with transaction(store, change, now=now) as tx:
        until = None if seconds is None else tx.at + seconds
        row = _active(tx.session, cidr, change.who, tx.at)
        if row is None:
            row = WhitelistRow(network=cidr, created_at=tx.at, who=change.who, reason="", rev=0)
            tx.session.add(row)
        elif row.expires_at is None and until is not None:
            raise Refused(f"{cidr} is exempt for good already (entry {row.id}); revoke that first")
        elif row.expires_at is not None and until is not None:
            until = max(until, row.expires_at)
        row.expires_at = until
        row.reason = change.why[:MAX_REASON]
        row.rev = tx.rev()
        tx.record("whitelist.add", cidr, {"until": until})
        tx.session.flush()
        return _entry(row)


def revoke(
    store: Store, target: str, *, change: AuditContext, now: int | None = None
) -> list[Exemption]:
    """End every active entry of *target*, a network or an entry's number.

    Raises `NotFound` when there is none.
    """
    with transaction(store, change, now=now) as tx:
        query = select(WhitelistRow).where(WhitelistRow.ended_at.is_(None))
        if is_number(target):
            query = query.where(WhitelistRow.id == int(target))
        else:
            query = query.where(WhitelistRow.network == parse_network(target))
        rows = tx.session.scalars(query).all()
        if not rows:
            raise NotFound(f"no active exemption for {target}")
        for row in rows:
            row.ended_at, row.rev = tx.at, tx.rev()
            tx.record("whitelist.revoke", row.network)
        tx.session.flush()
        return [_entry(row) for row in rows]


def listed(store: Store, *, everything: bool = False, now: int | None = None) -> list[Exemption]:
    """Return the active entries, with *everything* also the ended ones, by network."""
    with store.reading() as session:
        at = store.now(session, now)
        rows = session.scalars(select(WhitelistRow).order_by(WhitelistRow.network, WhitelistRow.id))
        entries = [_entry(row) for row in rows]
    return [entry for entry in entries if everything or entry.active(at)]


def expire(store: Store, *, change: AuditContext, now: int | None = None) -> int:
    """Mark expired entries as ended; return how many.

    Housekeeping only: they have no effect from the second they expire.
    """
    with transaction(store, change, now=now) as tx:
        over = WhitelistRow.ended_at.is_(None), WhitelistRow.expires_at <= tx.at
        rows = tx.session.scalars(select(WhitelistRow).where(*over)).all()
        for row in rows:
            row.ended_at, row.rev = row.expires_at, tx.rev()
            tx.record("whitelist.expire", row.network)
        return len(rows)


def _active(session: Session, network: str, who: str, now: int) -> WhitelistRow | None:
    query = (
        select(WhitelistRow)
        .where(
            WhitelistRow.network == network,
            WhitelistRow.who == who,
            WhitelistRow.ended_at.is_(None),
            (WhitelistRow.expires_at.is_(None)) | (WhitelistRow.expires_at > now),
        )
        .order_by(WhitelistRow.expires_at.is_(None).desc())
        .limit(1)
    )
    return session.scalar(query)


def _entry(row: WhitelistRow) -> Exemption:
    return Exemption(
        id=row.id,
        network=row.network,
        created_at=row.created_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        reason=row.reason,
        who=row.who,
    )
