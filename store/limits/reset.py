"""Reset the usage of one subject for an operator.

Deletes its rows. A policyd that has them in memory notices that another process wrote and reads
again (SQLite), or finds no row to add to (PostgreSQL, MariaDB). Its log entries for a deleted row
have no effect (`store.limits.counters_sqlite`).
"""

from sqlalchemy import delete

from store.audit import AuditContext, transaction
from store.engine import Store
from store.models import UsageRow


def reset_usage(store: Store, subject: str, *, change: AuditContext) -> int:
    """Delete the windows of *subject*; return how many. Raises `StoreUnavailable`."""
    with transaction(store, change) as tx:
        tx.record("limit.reset", subject)
        of_subject = UsageRow.subject == subject
        return tx.session.connection().execute(delete(UsageRow).where(of_subject)).rowcount
