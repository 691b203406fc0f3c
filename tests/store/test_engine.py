import pytest

from config.settings import Settings
from store.engine import Store
from store.errors import StoreUnavailable
from store.limits import whitelist
from store.people import accounts, view
from store.people.accounts import NewAccount
from tests.conftest import CHANGE


def test_sqlite_survives_a_power_cut_and_lets_readers_in(store: Store) -> None:
    if store.dialect != "sqlite":
        return
    with store.connection() as connection:
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
    assert (journal, synchronous) == ("wal", 2)


def test_every_connection_failure_is_store_unavailable() -> None:
    for url in (
        "sqlite:////nonexistent/gatepost.db",
        "postgresql://x@127.0.0.1:1/x",
        "mariadb://x@127.0.0.1:1/x",
    ):
        with pytest.raises(StoreUnavailable):
            whitelist.listed(Store(url), now=0)


def test_a_password_in_the_url_is_never_shown() -> None:
    store = Store("postgresql://gatepost:s3cret@127.0.0.1:1/x")
    assert "s3cret" not in store.shown_url
    with pytest.raises(StoreUnavailable) as caught:
        whitelist.listed(store, now=0)
    assert "s3cret" not in str(caught.value)


HOSTILE = ["' OR 1=1 --", "%", "_", "\\", '"', "\N{PILE OF POO}" * 20, "a" * 255, "\r\nX: y"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_stored_unchanged_or_refused(
    store: Store, settings: Settings, text: str
) -> None:
    accounts.add(store, settings, NewAccount("alice", "staff", condition="normal"), change=CHANGE)
    whitelist.add(store, "192.0.2.7", seconds=60, change=CHANGE.__class__("x", text))
    (entry,) = whitelist.listed(store)
    assert entry.reason == text
    assert view.list_accounts(store, search=text) == []
    assert [v.name for v in view.list_accounts(store, search="lic")] == ["alice"]
