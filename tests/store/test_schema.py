"""The schema: the migration creates the tables of the models, also from earlier versions."""

import time
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from config.settings import Settings
from store import audit, schema
from store.engine import Store
from store.limits import refund, whitelist
from store.limits.open import open_counters
from store.limits.refund import RefundRequest, name_of
from store.limits.report import report
from store.limits.window import Charge, Limit
from store.models import Base
from store.people import accounts, notices
from store.people.accounts import NewAccount
from store.people.view import get
from store.readiness import version
from tests.conftest import CHANGE, settings_for

OLD_STORES = Path(__file__).parents[1] / "cases/stores"
# The releases and their last migrations; tests/cases/stores/README.md says what they hold.
FILLED_AT = 1_795_630_400  # minutes after the dumps were made
VERSIONS = {"0.1.0": "0005", "before-0100": "0006"}


def differences(store: Store) -> list[object]:
    """Return what of the tables is not as the models say."""
    with store.connection() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))


def load(store: Store, name: str) -> None:
    """Fill the empty *store* with the dump *name*."""
    store.create()
    text = (OLD_STORES / f"{name}.{store.dialect}.sql").read_text(encoding="utf-8")
    with store.connection() as connection:
        for statement in text.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        connection.commit()


def test_the_migration_creates_the_tables_of_the_models(store: Store) -> None:
    assert differences(store) == []


def test_upgrading_twice_changes_nothing(store: Store) -> None:
    assert schema.upgrade(store) == (schema.newest(), schema.newest())


def test_the_schema_downgrades_and_upgrades_again(store: Store, settings: Settings) -> None:
    accounts.add(store, settings, NewAccount("alice", "staff"), change=CHANGE)
    schema.downgrade(store, "base")
    assert version(store) is None
    schema.upgrade(store)
    accounts.add(store, settings, NewAccount("alice", "staff"), change=CHANGE)


@pytest.mark.parametrize("name", VERSIONS)
def test_an_older_store_is_upgraded_without_loss(url: str, name: str) -> None:
    settings = settings_for(url)
    with closing(Store(url)) as store:
        load(store, name)
        assert schema.upgrade(store) == (VERSIONS[name], schema.newest())
        assert differences(store) == []

        alice, bob = (get(store, settings, name) for name in ("alice", "bob"))
        assert (alice.role, bob.role, bob.second_mailbox) == ("staff", "alumni", "bob@example.org")
        assert [stop.reason for stop in alice.suspended] == ["lost phone"]
        assert [(used.subject, used.used) for used in report(store, now=FILLED_AT)] == [
            ("client 192.0.2.9", 5)
        ]
        assert [entry.network for entry in whitelist.listed(store, now=0)] == ["192.0.2.7/32"]
        assert "whitelist.add" in {entry.action for entry in audit.entries(store)}
        sent: list[str] = []
        assert notices.send(store, lambda mail: sent.append(mail.recipient)) == 1
        assert sent == ["bob@mail.example.edu"]


@pytest.mark.parametrize("name", VERSIONS)
def test_an_interrupted_upgrade_is_completed_by_the_next(url: str, name: str) -> None:
    with closing(Store(url)) as store:
        load(store, name)
        with store.connection() as connection:  # the stamp is gone, and no table was made yet
            connection.exec_driver_sql("DELETE FROM alembic_version")
            connection.commit()
        schema.upgrade(store)
        assert differences(store) == []
        assert version(store) == schema.newest()


def test_an_upgraded_store_of_0_1_0_charges_and_refunds(url: str) -> None:
    with closing(Store(url)) as store:
        load(store, "0.1.0")
        schema.upgrade(store)
        with closing(open_counters(store)) as counters:
            name = name_of("4ABC", "192.0.2.7")
            limits = (Limit("client 192.0.2.7", 3600, 200),)
            assert counters.charge([Charge(None, 1, limits, name)], lambda *_: "")[0].accepted
            refund.request(store, [RefundRequest(name, time.monotonic(), time.monotonic())])
            assert counters.refund() == 1
