from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from config.settings import Settings
from store import accounts, schema
from store.accounts import New
from store.engine import Store
from store.models import Base
from store.readiness import version
from tests.conftest import CHANGE


def test_the_migrations_make_the_tables_of_the_models(store: Store) -> None:
    with store.connection() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_upgrading_twice_changes_nothing(store: Store) -> None:
    assert schema.upgrade(store) == (schema.newest(), schema.newest())


def test_the_schema_goes_down_and_up_again(store: Store, settings: Settings) -> None:
    accounts.add(store, settings, New("alice", "staff"), change=CHANGE)
    schema.downgrade(store, "base")
    assert version(store) is None
    schema.upgrade(store)
    accounts.add(store, settings, New("alice", "staff"), change=CHANGE)
