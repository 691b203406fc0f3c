"""Whether this release can use the store, and if not, the remedy.

Every command and every service checks it at start, so it does without Alembic: importing that
would take longer than all the rest.
"""

import logging
import os
from pathlib import Path

from sqlalchemy import inspect, text

from config.daemon.logs import fields
from store.engine import Store
from store.errors import StoreUnavailable

log = logging.getLogger(__name__)

NEWEST = "0100"  # the last of store/migrations/versions; a test compares
_OWNERS = "want root:gatepost 0660 in a folder of root:gatepost 2770"


def trouble(store: Store) -> str | None:
    """Return what the operator must do first, ``None`` if *store* can be used.

    Raises `StoreUnavailable`.
    """
    if store.file is not None and (found := _of_file(store.file)):
        return found
    return of_version(version(store))


def version(store: Store) -> str | None:
    """Return the version of the tables, ``None`` when there are none yet."""
    with store.connection() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def of_version(found: str | None) -> str | None:
    """Return what is wrong with tables of version *found*, if anything."""
    if found is None:
        return "the store has no tables yet: run `gatepost db upgrade`"
    if found < NEWEST:
        return f"the store's tables are at {found}, older than {NEWEST}: run `gatepost db upgrade`"
    if found > NEWEST:
        return (
            f"the store's tables are at {found}, this gatepost knows {NEWEST}: "
            "they are of a newer release; install that one here, too"
        )
    return None


def log_trouble(url: str) -> None:
    """Log in one line what the operator must do before the store at *url* can be used.

    Nothing for an unavailable store: the services wait for it.
    """
    store = Store(url)
    try:
        found = trouble(store)
    except StoreUnavailable:
        return
    finally:
        store.close()
    if found:
        log.error(fields(event="store-unusable", reason=found))


def _of_file(path: Path) -> str | None:
    try:
        path.stat()
    except FileNotFoundError:
        return f"{path}: no such file; `gatepost db upgrade` makes it"
    except OSError as error:
        return f"{path}: {error.strerror}; {_OWNERS}"
    # SQLite also creates files beside its own.
    if not (os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)):
        return f"{path}: user {os.getuid()} may not write it; {_OWNERS}"
    return None
