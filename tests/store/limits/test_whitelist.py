import pytest

from store import audit
from store.audit import AuditContext
from store.engine import Store
from store.errors import NotFound, Refused
from store.limits import whitelist
from tests.conftest import CHANGE

NOW = 1_800_000_000


def test_registering_again_extends_the_entry(store: Store) -> None:
    whitelist.add(store, "192.0.2.7", seconds=3600, change=CHANGE, now=NOW)
    whitelist.add(store, "192.0.2.7", seconds=3600, change=CHANGE, now=NOW + 1800)
    (entry,) = whitelist.listed(store, now=NOW + 1800)
    assert entry.expires_at == NOW + 5400


def test_two_owners_of_one_address_have_two_entries(store: Store) -> None:
    whitelist.add(store, "192.0.2.7", seconds=60, change=CHANGE, now=NOW)
    whitelist.add(store, "192.0.2.7", seconds=60, change=AuditContext("other", "too"), now=NOW)
    assert len(whitelist.listed(store, now=NOW)) == 2
    assert len(whitelist.revoke(store, "192.0.2.7", change=CHANGE, now=NOW)) == 2


def test_a_permanent_entry_is_not_shortened_by_a_registration(store: Store) -> None:
    whitelist.add(store, "192.0.2.7", seconds=None, change=CHANGE, now=NOW)
    with pytest.raises(Refused, match="for good"):
        whitelist.add(store, "192.0.2.7", seconds=60, change=CHANGE, now=NOW)


def test_an_entry_ends_without_cron_and_cron_records_when(store: Store) -> None:
    whitelist.add(store, "192.0.2.7", seconds=60, change=CHANGE, now=NOW)
    assert whitelist.listed(store, now=NOW + 60) == []
    assert whitelist.expire(store, change=CHANGE, now=NOW + 500) == 1
    assert whitelist.expire(store, change=CHANGE, now=NOW + 500) == 0
    (entry,) = whitelist.listed(store, everything=True, now=NOW + 500)
    assert entry.ended_at == NOW + 60


def test_revoking_by_number_ends_one(store: Store) -> None:
    kept = whitelist.add(store, "192.0.2.8", seconds=60, change=CHANGE, now=NOW)
    entry = whitelist.add(store, "192.0.2.7", seconds=60, change=CHANGE, now=NOW)
    whitelist.revoke(store, str(entry.id), change=CHANGE, now=NOW)
    assert [e.id for e in whitelist.listed(store, now=NOW)] == [kept.id]
    with pytest.raises(NotFound):
        whitelist.revoke(store, str(entry.id), change=CHANGE, now=NOW)


def test_a_reason_is_needed_and_kept(store: Store) -> None:
    with pytest.raises(Refused, match="reason"):
        whitelist.add(store, "192.0.2.7", seconds=60, change=AuditContext("x", " "))
    whitelist.add(store, "192.0.2.7", seconds=60, change=AuditContext("x", "newsletter"))
    assert audit.entries(store, subject="192.0.2.7/32")[0].why == "newsletter"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("192.0.2.7/24", "host bits"),
        ("0.0.0.0/0", "too wide"),
        ("2000::/3", "too wide"),
        ("example.edu", "neither"),
        ("", "neither"),
        ("1.2.3", "neither"),
    ],
)
def test_an_invalid_network_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        whitelist.parse_network(text)


def test_an_ipv4_mapped_address_is_the_ipv4_address() -> None:
    assert whitelist.parse_network("::ffff:192.0.2.7") == "192.0.2.7/32"
