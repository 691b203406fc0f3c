"""The limiter's counters, durable before the answer and exact across processes.

Group commit: `Usage.charge` settles a whole batch in one transaction, whose cost
is that of the commit. Three databases, one promise: when `charge` returns, every
verdict is on disk; when it raises `StoreUnavailable`, ask again with the same ids
and nothing is charged twice.

Not for several threads at once: a service gives each `Usage` to one thread.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from store.engine import Store
from store.window import Charge, Verdict, Word


class Usage(ABC):
    """The counters of one store."""

    @abstractmethod
    def charge(self, batch: Sequence[Charge], word: Word) -> list[Verdict]:
        """Settle *batch* in order; *word* makes the text of a refusal.

        Raises `StoreUnavailable`; then nothing of the batch is known to be charged.
        """

    @abstractmethod
    def close(self) -> None:
        """Give the connection back."""


def open_usage(store: Store) -> Usage:
    """Return the counters in *store*; connects on first use."""
    # Here, so that a site's database driver is the only one that loads.
    if store.dialect == "sqlite":
        from store.usage_sqlite import SqliteUsage

        return SqliteUsage(store)
    if store.dialect == "postgresql":
        from store.usage_postgresql import PostgresUsage

        return PostgresUsage(store)
    from store.usage_mariadb import MariaUsage

    return MariaUsage(store)
