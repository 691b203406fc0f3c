import time

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from config.settings import Settings
from store import schema
from store.engine import Store
from store.limits import refund
from store.limits.open import open_counters
from store.limits.refund import Dropped, name_of
from store.limits.window import Charge, Limit
from store.models import Base
from store.people import accounts, notices
from store.people.accounts import NewAccount
from store.readiness import version
from tests.conftest import CHANGE

OF_0_1_0 = "0005"
COLUMNS = "recipient, subject, text, created_at"
FIRST = "SELECT messages FROM batch ORDER BY id LIMIT 1"
VALUES = "'jane@mail.example.edu', 's', 't', 1"


def test_the_migrations_make_the_tables_of_the_models(store: Store) -> None:
    with store.connection() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_upgrading_twice_changes_nothing(store: Store) -> None:
    assert schema.upgrade(store) == (schema.newest(), schema.newest())


def test_the_schema_goes_down_and_up_again(store: Store, settings: Settings) -> None:
    accounts.add(store, settings, NewAccount("alice", "staff"), change=CHANGE)
    schema.downgrade(store, "base")
    assert version(store) is None
    schema.upgrade(store)
    accounts.add(store, settings, NewAccount("alice", "staff"), change=CHANGE)


def test_a_store_of_0_1_0_is_upgraded_and_taken_back_with_what_it_holds(store: Store) -> None:
    schema.downgrade(store, OF_0_1_0)
    with store.connection() as connection:
        connection.execute(text(f"INSERT INTO notice ({COLUMNS}) VALUES ({VALUES})"))  # noqa: S608
        connection.execute(
            text("INSERT INTO batch (at, messages, refused) VALUES (:at, :messages, '{}')"),
            {"at": int(time.time()), "messages": b"\0" * 8},
        )
        connection.commit()

    def held() -> list[object]:
        with store.connection() as connection:
            queries = (f"SELECT {COLUMNS} FROM notice", FIRST)  # noqa: S608
            return [tuple(row) for query in queries for row in connection.execute(text(query))]

    before = held()
    for _ in range(2):
        schema.upgrade(store)
        assert held() == before
        usage = open_counters(store)
        name = name_of("4ABC", "192.0.2.7")
        limits = (Limit("client 192.0.2.7", 3600, 200),)
        assert usage.charge([Charge(None, 1, limits, name)], lambda *_: "")[0].accepted
        refund.ask(store, [Dropped(name, time.monotonic(), time.monotonic())])
        assert usage.give_back() == 1
        usage.close()
        schema.downgrade(store, OF_0_1_0)
        assert held() == before
    schema.upgrade(store)
    told: list[str] = []
    assert notices.send(store, lambda mail: told.append(mail.recipient)) == 1
    assert told == ["jane@mail.example.edu"]
