"""Runs the migrations for `gatepost db upgrade`.

They are part of the package and need no alembic.ini.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from store.engine import Store, translated
from store.errors import StoreUnavailable
from store.readiness import NEWEST, of_version, version

_MIGRATIONS = Path(__file__).parent / "migrations"
# The migrations that 0100 has replaced; it completes the tables of each.
_FOLDED = frozenset({"0001", "0002", "0003", "0004", "0005", "0006"})


def upgrade(store: Store, revision: str = "head") -> tuple[str | None, str | None]:
    """Bring the schema to *revision*; return the versions before and after.

    Safe to repeat. Raises `StoreUnavailable`, also for tables of a newer release.
    """
    store.create()
    before = version(store)
    if before is not None and before > NEWEST:
        raise StoreUnavailable(of_version(before))
    config = _config(store)
    with translated():
        if before in _FOLDED:
            command.stamp(config, "base", purge=True)
        command.upgrade(config, revision)
    return before, version(store)


def downgrade(store: Store, revision: str) -> None:
    """Take the schema back to *revision* (tests of the migrations)."""
    with translated():
        command.downgrade(_config(store), revision)


def newest() -> str | None:
    """Return the version of the last migration."""
    return ScriptDirectory(str(_MIGRATIONS)).get_current_head()


def _config(store: Store) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["store"] = store
    return config
