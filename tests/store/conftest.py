"""The store tests run on every database: SQLite always, the servers when integration runs."""

import itertools
from pathlib import Path

import pytest

_numbers = itertools.count()

SERVERS = [
    pytest.param("postgres_server", marks=pytest.mark.integration, id="postgresql"),
    pytest.param("mariadb_server", marks=pytest.mark.integration, id="mariadb"),
]


@pytest.fixture(params=["sqlite", *SERVERS])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/gatepost.db"
    server = request.getfixturevalue(request.param)
    return str(server.fresh_database(f"store{next(_numbers)}"))
