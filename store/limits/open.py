"""Open the counters that fit the store's database."""

from typing import Any

from store.engine import Store
from store.limits.counters import Counters


def open_counters(store: Store) -> Counters[Any]:
    """Return the counters in *store*; connects on first use."""
    # Imported here, so that a site's database is the only one that loads.
    if store.dialect == "sqlite":
        from store.limits.counters_sqlite import SqliteCounters

        return SqliteCounters(store)
    if store.dialect == "postgresql":
        from store.limits.counters_postgresql import PostgresCounters

        return PostgresCounters(store)
    from store.limits.counters_mariadb import MariaCounters

    return MariaCounters(store)
