"""The accounts and exemptions that a service keeps in memory.

A policy decision or a milter callback needs no database for them. `store.memory.refresher` reads
only the rows whose ``rev`` is new; while the store is unavailable, the copy stays as it is. Times
(overrides, suspensions, expiry) are compared with the caller's ``now``, so they hold to the second
without a refresh.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from sys import intern
from typing import Any

from sqlalchemy import Connection

from config.settings import RoleSettings, Settings
from store import revision as revision_module
from store.engine import Store
from store.memory import rows as changed
from store.memory.rows import Account, Suspension
from store.people.entitlements import (
    Override,
    Person,
    Suspended,
    T,
    generous,
    parse_rates,
    scope_of,
)
from store.people.names import stems, whole

log = logging.getLogger(__name__)

_NO_OVERRIDE: Override[Any] = (None, None)


@dataclass(frozen=True, slots=True)
class KnownExemption:
    """An exemption of *network*, until *expires_at* (``None``: permanent)."""

    network: IPv4Network | IPv6Network
    expires_at: int | None
    reason: str
    who: str


class Directory:
    """The memory copy. One thread refreshes; any thread reads.

    Readers see the old or the new state of a row, never a mixture: rows are immutable, and
    dictionaries change one key at a time under the GIL.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        """Start empty; `refresh` fills it."""
        self._store = store
        self._settings = settings
        self._seen = -1
        self._people: dict[str, Person] = {}
        self._names_of: dict[int, tuple[str, ...]] = {}  # account id → its name and aliases
        self._entries: dict[int, KnownExemption] = {}
        self._by_prefix: dict[tuple[int, int], dict[int, tuple[KnownExemption, ...]]] = {}
        self._unknown_roles: set[str] = set()
        self.loaded = False

    def with_settings(self, settings: Settings) -> "Directory":
        """Return a copy that applies *settings*; needs no store."""
        other = Directory(self._store, settings)
        # First: the copy's next refresh reads again what a refresh changes meanwhile, and drops
        # the names that an account no longer has.
        other._seen, other.loaded = self._seen, self.loaded
        other._names_of = self._names_of.copy()
        for name, person in tuple(self._people.items()):
            other._people[name] = replace(person, limits=other._limits(person.role))
        other._entries = self._entries.copy()
        other._by_prefix = self._by_prefix  # never changed, only replaced
        return other

    def refresh(self) -> bool:
        """Read what changed; return whether anything did. Raises `StoreUnavailable`."""
        with self._store.connection() as connection:
            # Before the rows: what commits meanwhile is read again next time.
            revision = revision_module.revision(connection)
            if self.loaded and revision == self._seen:
                return False
            self._read_accounts(connection)
            self._read_whitelist(connection)
        self._seen = revision
        self.loaded = True
        return True

    def person(self, address: str) -> Person | None:
        """Return the account of *address*, ``None`` if there is none."""
        site = self._settings.site
        name = whole(address, site)
        found = self._people.get(name)
        if found is not None:
            return found
        return next(filter(None, map(self._people.get, stems(name, site))), None)

    def whitelisted(self, client_address: str, now: float) -> KnownExemption | None:
        """Return an exemption of *client_address* in force at *now*.

        Costs one dictionary lookup per prefix length in use, not one per entry.
        """
        try:
            address = ip_address(client_address)
        except ValueError:
            return None  # "unknown", or an address with a zone: exempt nothing
        if address.version == 6 and address.ipv4_mapped is not None:  # noqa: PLR2004
            address = address.ipv4_mapped
        number, width = int(address), address.max_prefixlen
        for (version, length), networks in tuple(self._by_prefix.items()):
            if version != address.version:
                continue
            for entry in networks.get(number >> (width - length), ()):
                if entry.expires_at is None or now < entry.expires_at:
                    return entry
        return None

    def _read_accounts(self, connection: Connection) -> None:
        # Read completely first: a failure half-way changes nothing.
        for person, names in list(self._read_people(connection)):
            self._place(person, names)

    def _read_people(self, connection: Connection) -> Iterator[tuple[Person, tuple[str, ...]]]:
        """Yield the changed accounts with all their names; a removed one has none."""
        for rows in changed.accounts(connection, self._seen):
            ids = [row.id for row in rows]
            aliases = changed.aliases(connection, ids)
            stops = changed.suspensions(connection, ids)
            for row in rows:
                others = (alias.name for alias in aliases.get(row.id, ()))
                names = () if row.removed_at is not None else (row.name, *others)
                yield self._person_of(row, stops.get(row.id, [])), names

    def _place(self, person: Person, names: tuple[str, ...]) -> None:
        for name in names:
            self._people[name] = person
        for gone in set(self._names_of.get(person.account, ())).difference(names):
            # An alias may have moved to another account in the same refresh.
            held = self._people.get(gone)
            if held is not None and held.account == person.account:
                del self._people[gone]
        self._names_of[person.account] = names

    def _person_of(self, row: Account, stops: list[Suspension]) -> Person:
        return Person(
            account=row.id,
            name=row.name,
            role=intern(row.role),  # one string for all accounts
            condition=intern(row.condition),
            limits=self._limits(row.role),
            initial=bool(row.initial),
            mailbox_override=_override(row.mailbox, row.mailbox_until),
            attachments_override=_override(row.attachments, row.attachments_until),
            send_override=_override(parse_rates(row.send), row.send_until),
            suspensions=tuple(
                Suspended(scope_of(s.scope), s.reason, s.until)
                for s in sorted(stops, key=lambda s: s.until is not None)
            ),
        )

    def _limits(self, role: str) -> RoleSettings:
        known = self._settings.roles.get(role)
        if known is not None:
            return known
        if role not in self._unknown_roles:
            self._unknown_roles.add(role)
            log.error("role=%s is on accounts but not in the settings; largest limits apply", role)
        return generous(self._settings)

    def _read_whitelist(self, connection: Connection) -> None:
        rows = changed.whitelist(connection, self._seen)
        if not rows:
            return
        for row in rows:
            if row.ended_at is not None:
                self._entries.pop(row.id, None)
            else:
                self._entries[row.id] = KnownExemption(
                    ip_network(row.network), row.expires_at, row.reason, row.who
                )
        self._by_prefix = _index(self._entries.values())


def _index(
    entries: Iterable[KnownExemption],
) -> dict[tuple[int, int], dict[int, tuple[KnownExemption, ...]]]:
    """Return *entries* by (IP version, prefix length), then by the prefix's number."""
    index: dict[tuple[int, int], dict[int, tuple[KnownExemption, ...]]] = {}
    for entry in entries:
        net = entry.network
        prefix = int(net.network_address) >> (net.max_prefixlen - net.prefixlen)
        same = index.setdefault((net.version, net.prefixlen), {})
        same[prefix] = (*same.get(prefix, ()), entry)
    return index


def _override(value: T | None, until: int | None) -> Override[T]:
    """Return an override; accounts without one, the many, share a tuple."""
    return _NO_OVERRIDE if value is None else (value, until)
