"""Forgetting what one subject used, because an operator says so.

The rows go; a policyd that had them in memory sees that somebody else wrote, and
reads again (SQLite), or has no row to add to (PostgreSQL, MariaDB). What it logged
for a row that is gone says nothing (`store.limits.counters_sqlite`).
"""

from sqlalchemy import delete

from store.audit import AuditContext, transaction
from store.engine import Store
from store.models import UsageRow


def forget_usage(store: Store, subject: str, *, change: AuditContext) -> int:
    """Forget the windows of *subject*; return how many. Raises `StoreUnavailable`."""
    with transaction(store, change) as tx:
        tx.record("limit.reset", subject)
        of_subject = UsageRow.subject == subject
        return tx.session.connection().execute(delete(UsageRow).where(of_subject)).rowcount
