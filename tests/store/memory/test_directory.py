from typing import Any

import pytest
from sqlalchemy import insert

from config.settings import Settings
from config.units import Rate
from store import models
from store.engine import Store
from store.limits import whitelist
from store.memory.directory import Directory
from store.memory.rows import BATCH
from store.people import accounts, suspension
from store.people.accounts import NewAccount
from store.people.entitlements import Person
from tests.conftest import CHANGE, settings_for

NOW = 1_800_000_000


@pytest.fixture
def directory(store: Store, settings: Settings) -> Directory:
    accounts.add(
        store,
        settings,
        NewAccount("alice", "staff", aliases=("al", "x@partner.test")),
        change=CHANGE,
    )
    made = Directory(store, settings)
    assert made.refresh()
    return made


def test_a_refresh_without_a_change_reads_nothing(directory: Directory) -> None:
    assert not directory.refresh()


def test_an_account_is_found_by_every_name(directory: Directory) -> None:
    people = {directory.person(n) for n in ("alice", "AL+x@mail.example.edu", "x@partner.test")}
    assert [person.name for person in people if person] == ["alice"]
    assert directory.person("x") is None
    assert directory.person("alice@gmail.com") is None


def test_accounts_beyond_one_batch_are_all_read(store: Store, settings: Settings) -> None:
    ids = range(1, 2 * BATCH + 2)
    common = {"role": "staff", "condition": "normal", "initial": False, "created_at": NOW}
    people = [{"id": n, "name": f"p{n}", "rev": 1, **common} for n in ids]
    names = [{"name": f"alias{n}", "account_id": n} for n in ids]
    stop = {"scope": "sending", "reason": "r", "created_at": NOW}
    with store.changing() as session:
        session.execute(insert(models.AccountRow), people)
        session.execute(insert(models.AliasRow), names)
        session.execute(insert(models.SuspensionRow), [{"account_id": n, **stop} for n in ids])
    directory = Directory(store, settings)
    assert directory.refresh()
    found = [directory.person(f"alias{n}") for n in ids]
    assert [person.name for person in found if person] == [f"p{n}" for n in ids]
    assert all(person.suspended(NOW, "sending") for person in found if person)


def test_a_change_is_seen_at_the_next_refresh(
    directory: Directory, store: Store, settings: Settings
) -> None:
    fields = {"role": "alumni", "send": "5/1h", "send_until": NOW, "name": "alicia"}
    accounts.set_fields(store, settings, "alice", fields=fields, aliases=["bl"], change=CHANGE)
    assert directory.refresh()
    person = directory.person("bl")
    assert person is not None
    assert person == directory.person("alicia")
    assert person.attachments(NOW) == 10 << 20
    assert person.send(NOW - 1) == (Rate(5, 3600),)
    assert person.send(NOW) == (Rate(100, 3600), Rate(200, 86400))
    assert directory.person("alice") is None
    assert directory.person("al") is None


def test_new_settings_apply_to_the_copy_without_the_store(
    directory: Directory, store: Store, url: str
) -> None:
    whitelist.add(store, "192.0.2.7", seconds=60, change=CHANGE, now=NOW)
    directory.refresh()
    roles = {"staff": {"mailbox": "1G", "attachments": "7M", "send": ["9/1h"]}}
    other = directory.with_settings(settings_for(url, roles=roles))
    person = other.person("al")
    assert person is not None
    assert person.send(NOW) == (Rate(9, 3600),)
    assert other.whitelisted("192.0.2.7", NOW) is not None
    assert other.loaded
    assert not other.refresh()


def test_a_rename_during_a_change_of_settings_is_seen(
    directory: Directory, store: Store, settings: Settings
) -> None:
    class Busy(dict[str, Person]):
        """Accounts, one of which the refreshing thread renames while they are copied."""

        def items(self) -> Any:
            copied = tuple(super().items())
            accounts.set_fields(store, settings, "al", fields={"name": "alicia"}, change=CHANGE)
            assert directory.refresh()
            return copied

    directory._people = Busy(directory._people)
    other = directory.with_settings(settings)
    assert other.refresh()
    assert other.person("alicia") is not None
    assert other.person("alice") is None


def test_a_moved_alias_belongs_to_its_new_account(
    directory: Directory, store: Store, settings: Settings
) -> None:
    accounts.set_fields(store, settings, "alice", fields={}, aliases=[], change=CHANGE)
    accounts.add(store, settings, NewAccount("bob", "student", aliases=("al",)), change=CHANGE)
    directory.refresh()
    person = directory.person("al")
    assert person is not None
    assert person.name == "bob"


def test_a_removed_account_is_gone(directory: Directory, store: Store, settings: Settings) -> None:
    accounts.remove(store, settings, "al", change=CHANGE)
    directory.refresh()
    assert directory.person("alice") is None
    assert directory.person("al") is None


def test_a_suspension_ends_to_the_second_without_a_refresh(
    directory: Directory, store: Store, settings: Settings
) -> None:
    suspension.suspend(
        store, settings, "alice", scope="sending", seconds=60, change=CHANGE, now=NOW
    )
    directory.refresh()
    person = directory.person("alice")
    assert person is not None
    assert person.suspended(NOW + 59, "sending") is not None
    assert person.suspended(NOW + 59, "everything") is None
    assert person.suspended(NOW + 60, "sending") is None


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("192.0.2.0/24", "::ffff:192.0.2.255", "192.0.3.0"),
        ("2001:db8::/48", "2001:db8:0:1::5", "2001:db8:1::"),
        ("2001:db8::1", "2001:DB8:0::1", "2001:db8::2"),
    ],
)
def test_an_exemption_holds_for_its_network_until_its_second(
    directory: Directory, store: Store, entry: str, inside: str, outside: str
) -> None:
    whitelist.add(store, entry, seconds=60, change=CHANGE, now=NOW)
    directory.refresh()
    assert directory.whitelisted(inside, NOW + 59.9) is not None
    assert directory.whitelisted(inside, NOW + 60) is None
    assert directory.whitelisted(outside, NOW) is None
    assert directory.whitelisted("unknown", NOW) is None


def test_a_revoked_exemption_is_gone_and_a_wider_one_stays(
    directory: Directory, store: Store
) -> None:
    whitelist.add(store, "192.0.2.7", seconds=None, change=CHANGE)
    whitelist.add(store, "192.0.2.0/24", seconds=None, change=CHANGE)
    whitelist.revoke(store, "192.0.2.7", change=CHANGE)
    directory.refresh()
    found = directory.whitelisted("192.0.2.7", NOW)
    assert found is not None
    assert str(found.network) == "192.0.2.0/24"


def test_a_role_the_settings_lost_gets_the_largest_limits(
    store: Store, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    extra = {"guest": {"mailbox": "1M", "attachments": "1M", "send": ["1/1h"]}}
    accounts.add(store, settings_for(url, roles=extra), NewAccount("g", "guest"), change=CHANGE)
    directory = Directory(store, settings_for(url))
    directory.refresh()
    person = directory.person("g")
    assert person is not None
    assert person.attachments(NOW) == 500 << 20
    assert [record.levelname for record in caplog.records] == ["ERROR"]
