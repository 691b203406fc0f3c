"""An unusable store is reported with the reason and the remedy."""

import os
from pathlib import Path

import pytest
from sqlalchemy import text

from store import readiness, schema
from store.engine import Store
from store.errors import StoreUnavailable
from store.limits import whitelist


def test_the_services_know_the_newest_version_without_alembic() -> None:
    assert schema.newest() == readiness.NEWEST


def test_a_store_that_is_ready_has_no_trouble(store: Store) -> None:
    assert readiness.trouble(store) is None


def made_by(store: Store, version: str) -> None:
    with store.connection() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})
        connection.commit()


@pytest.mark.parametrize(("found", "cure"), [("0001", "`gatepost db upgrade`"), ("9999", "newer")])
def test_tables_of_another_release_are_reported(store: Store, found: str, cure: str) -> None:
    made_by(store, found)
    trouble = readiness.trouble(store)
    assert trouble is not None
    assert found in trouble
    assert cure in trouble


def test_a_newer_store_is_not_downgraded(store: Store) -> None:
    made_by(store, "9999")
    with pytest.raises(StoreUnavailable, match="newer release"):
        schema.upgrade(store)


def test_only_upgrading_creates_the_file_for_its_group(tmp_path: Path) -> None:
    path = tmp_path / "with space%.db"
    store = Store(f"sqlite:///{path}")
    with pytest.raises(StoreUnavailable):
        whitelist.listed(store)
    assert not path.exists()
    assert "no such file" in str(readiness.trouble(store))
    before = os.umask(0o077)
    try:
        schema.upgrade(store)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o660
    assert path.stat().st_gid == tmp_path.stat().st_gid
    assert whitelist.listed(store) == []
    store.close()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/none/x.db")
    with pytest.raises(StoreUnavailable, match=r"none/x\.db: cannot be made: No such file"):
        schema.upgrade(store)


def test_a_service_logs_trouble_once_and_nothing_during_an_outage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    readiness.log_trouble(f"sqlite:///{tmp_path}/x.db")
    (line,) = caplog.messages
    assert "no such file" in line
    assert "gatepost db upgrade" in line
    readiness.log_trouble("postgresql://x@127.0.0.1:1/x")
    assert len(caplog.messages) == 1
