"""The schema's version: Alembic's migrations, run from here, for `gatepost db upgrade`.

The migrations lie in the package; there is no alembic.ini to install or to lose.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from store.engine import Store, translated

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(store: Store, revision: str = "head") -> tuple[str | None, str | None]:
    """Bring the schema to *revision*; return the versions before and after.

    Safe to repeat. Raises `StoreUnavailable`.
    """
    before = version(store)
    with translated():
        command.upgrade(_config(store), revision)
    return before, version(store)


def downgrade(store: Store, revision: str) -> None:
    """Take the schema back to *revision* (tests of the migrations)."""
    with translated():
        command.downgrade(_config(store), revision)


def version(store: Store) -> str | None:
    """Return the schema's version, ``None`` when there is none yet."""
    with store.connection() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest() -> str | None:
    """Return the version this release wants."""
    return ScriptDirectory(str(_MIGRATIONS)).get_current_head()


def _config(store: Store) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["store"] = store
    return config
