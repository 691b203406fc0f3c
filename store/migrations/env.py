"""Alembic's entry: runs the migrations on the store that `store.schema` hands over."""

from alembic import context

from store.engine import Store
from store.models import Base

store = context.config.attributes["store"]
assert isinstance(store, Store)  # noqa: S101 - only store.schema runs migrations

with store.connection() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=store.dialect == "sqlite",  # SQLite cannot alter most things in place
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
