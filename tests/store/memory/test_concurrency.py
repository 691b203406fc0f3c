import time
from concurrent.futures import ThreadPoolExecutor

from config.settings import Settings
from store.engine import Store
from store.memory.directory import Directory
from store.people import accounts
from store.people.accounts import NewAccount
from tests.conftest import CHANGE

WRITERS = 4
CHANGES = 15


def test_concurrent_writers_wait_for_each_other(store: Store, settings: Settings) -> None:
    names = [f"a{n}" for n in range(WRITERS)]
    for name in names:
        accounts.add(store, settings, NewAccount(name, "staff"), change=CHANGE)
    directory = Directory(store, settings)
    directory.refresh()

    def change(name: str) -> None:
        for n in range(CHANGES):
            fields = {"condition": f"c{n}"}
            accounts.set_fields(store, settings, name, fields=fields, change=CHANGE)
            directory.refresh()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(change, names))
    directory.refresh()
    seen = {person.condition for name in names if (person := directory.person(name))}
    assert seen == {f"c{CHANGES - 1}"}


def test_the_time_of_the_store_is_unix_time(store: Store) -> None:
    with store.reading() as session:
        assert abs(store.now(session) - time.time()) < 5
