import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from config.settings import Settings
from config.units import Rate
from store import audit
from store.engine import Store
from store.errors import NotFound, Refused
from store.logins.credentials import credentials, upgrade_hash
from store.people import accounts, suspension, view
from store.people.accounts import NewAccount
from tests.conftest import CHANGE

NOW = 1_800_000_000


def make(store: Store, settings: Settings, name: str = "alice", **fields: object) -> None:
    new = NewAccount(name=name, **{"role": "staff", **fields})  # type: ignore[arg-type]  # test shorthand
    accounts.add(store, settings, new, change=CHANGE, now=NOW)


def test_an_account_is_found_by_any_spelling_and_by_its_aliases(
    store: Store, settings: Settings
) -> None:
    make(store, settings, "Alice@mail.example.edu", aliases=("a.b", "alice@partner.test"))
    for name in ("alice", "ALICE+x@example.edu", "A.B@mail.example.edu", "alice@partner.test"):
        assert view.get(store, settings, name).name == "alice"


@pytest.mark.parametrize("taken", ["alice", "ALICE", "al"])
def test_a_name_in_use_is_refused_for_an_account_or_alias(
    store: Store, settings: Settings, taken: str
) -> None:
    make(store, settings, aliases=("al",))
    with pytest.raises(Refused, match="taken"):
        make(store, settings, taken)
    make(store, settings, "bob")
    with pytest.raises(Refused, match="taken"):
        accounts.set_fields(store, settings, "bob", fields={}, aliases=[taken], change=CHANGE)


def test_a_name_cannot_become_an_account_and_an_alias_at_once(
    store: Store, settings: Settings
) -> None:
    make(store, settings, "bob")
    with ThreadPoolExecutor(1) as pool:
        with audit.transaction(store, CHANGE, now=NOW) as tx:
            accounts.add_in(tx, settings, NewAccount("alice", "staff"))
            slower = pool.submit(
                accounts.set_fields,
                store, settings, "bob", fields={}, aliases=["alice"], change=CHANGE,
            )  # fmt: skip
            time.sleep(0.3)  # now it waits for the lock, before or after its look-up
        with pytest.raises(Refused, match="taken"):
            slower.result()
    assert view.get(store, settings, "bob").aliases == ()


def test_a_refused_change_leaves_nothing_behind(store: Store, settings: Settings) -> None:
    make(store, settings)
    before = audit.entries(store)
    with pytest.raises(Refused, match="is not a mail address"):
        accounts.set_fields(
            store, settings, "alice",
            fields={"role": "student", "second_mailbox": "nonsense"}, change=CHANGE,
        )  # fmt: skip
    assert view.get(store, settings, "alice").role == "staff"
    assert audit.entries(store) == before


def test_a_local_second_mailbox_is_refused(store: Store, settings: Settings) -> None:
    with pytest.raises(Refused, match="elsewhere"):
        make(store, settings, second_mailbox="alice@mail.example.edu")


def test_an_unknown_role_is_refused_with_a_list_of_the_known_ones(
    store: Store, settings: Settings
) -> None:
    with pytest.raises(Refused, match="staff, student, alumni"):
        make(store, settings, role="king")


def test_a_removed_name_is_free_again(store: Store, settings: Settings) -> None:
    make(store, settings, aliases=("al",))
    accounts.remove(store, settings, "alice", change=CHANGE, now=NOW)
    with pytest.raises(NotFound):
        view.get(store, settings, "alice")
    make(store, settings, "al")
    make(store, settings, "alice")
    assert [view.name for view in view.list_accounts(store)] == ["al", "alice"]


def test_every_change_has_its_audit_row(store: Store, settings: Settings) -> None:
    make(store, settings)
    accounts.set_fields(store, settings, "alice", fields={"role": "student"}, change=CHANGE)
    accounts.set_fields(store, settings, "alice", fields={"role": "student"}, change=CHANGE)
    accounts.set_password(store, settings, "alice", "{X}y", how="reset", change=CHANGE)
    suspension.suspend(store, settings, "alice", scope="sending", seconds=60, change=CHANGE)
    suspension.resume(store, settings, "alice", change=CHANGE)
    accounts.remove(store, settings, "alice", change=CHANGE)
    assert [entry.action for entry in reversed(audit.entries(store))] == [
        "account.add", "account.set", "account.passwd", "account.suspend", "account.resume",
        "account.remove",
    ]  # fmt: skip
    assert "{X}y" not in str(audit.entries(store))


def test_credentials_follow_the_role_and_its_overrides(store: Store, settings: Settings) -> None:
    make(store, settings, password="{PLAIN}x", initial=True)
    fields = {"mailbox": 7, "mailbox_until": NOW + 60}
    accounts.set_fields(store, settings, "alice", fields=fields, change=CHANGE, now=NOW)
    suspension.suspend(
        store, settings, "alice", scope="everything", seconds=60, change=CHANGE, now=NOW
    )
    found = credentials(store, settings, "alice", now=NOW)
    assert found is not None
    assert (found.password, found.initial, found.mailbox) == ("{PLAIN}x", True, 7)
    assert found.suspended("sending") is not None
    later = credentials(store, settings, "alice", now=NOW + 60)
    assert later is not None
    assert (later.mailbox, later.suspensions) == (5120 << 20, ())
    assert credentials(store, settings, "nobody") is None


def test_a_hash_is_upgraded_only_while_the_old_one_is_there(
    store: Store, settings: Settings
) -> None:
    make(store, settings, password="{OLD}x")
    found = credentials(store, settings, "alice")
    assert found is not None
    assert upgrade_hash(store, found.account, old="{OLD}x", new="{NEW}x")
    assert not upgrade_hash(store, found.account, old="{OLD}x", new="{NEWER}x")
    again = credentials(store, settings, "alice")
    assert again is not None
    assert again.password == "{NEW}x"


def test_rates_are_stored_in_shortest_form_and_invalid_ones_refused(
    store: Store, settings: Settings
) -> None:
    make(store, settings)
    view = accounts.set_fields(
        store, settings, "alice", fields={"send": "500/60m  9/24h"}, change=CHANGE
    )
    assert view.send == "500/1h 9/1d"
    assert Rate.parse("500/1h") == Rate(500, 3600)
    with pytest.raises(Refused, match="rate"):
        accounts.set_fields(store, settings, "alice", fields={"send": "many"}, change=CHANGE)


def test_names_are_compared_byte_by_byte_on_every_database(
    store: Store, settings: Settings
) -> None:
    make(store, settings, aliases=("é@partner.test",))
    with pytest.raises(NotFound):
        view.get(store, settings, "e@partner.test")
