"""The budgets of failed logins (check 35a), on every database."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from config.settings import Settings
from store.engine import Store
from store.logins import budgets, guesses
from store.logins.budgets import (
    ACCOUNT_BUDGET,
    ACCOUNT_REFILL,
    NETWORK_BUDGET,
    PAIR_BUDGET,
    BudgetState,
)
from store.logins.credentials import credentials
from store.people import accounts
from store.people.accounts import NewAccount
from tests.conftest import CHANGE

HOME = "192.0.2.7"
ELSEWHERE = "198.51.100.9"
NOW = 1_800_000_000


@pytest.fixture
def alice(store: Store, settings: Settings) -> int:
    accounts.add(store, settings, NewAccount("alice", "staff"), change=CHANGE)
    found = credentials(store, settings, "alice")
    assert found
    return found.account


def state_of(
    store: Store, account: int | None, remote: str, *, name: str = "alice", now: int = NOW
) -> BudgetState:
    with store.connection() as connection:
        return guesses.budget_state(connection, name=name, account=account, remote=remote, now=now)


def guess(
    store: Store, account: int | None, remote: str, times: int, *, name: str = "alice"
) -> None:
    budgets = state_of(store, account, remote, name=name).budgets
    for _ in range(times):
        guesses.charge(store, budgets, now=NOW)


def test_an_exhausted_account_budget_blocks_unknown_networks(store: Store, alice: int) -> None:
    guess(store, alice, ELSEWHERE, ACCOUNT_BUDGET - 1)
    assert not state_of(store, alice, ELSEWHERE).is_blocked
    guess(store, alice, ELSEWHERE, 1)
    assert state_of(store, alice, ELSEWHERE).is_blocked
    assert state_of(store, alice, "203.0.113.1").is_blocked  # from any other network as well


def test_the_owner_still_gets_in_from_a_known_network(store: Store, alice: int) -> None:
    guesses.remember(store, alice, HOME, now=NOW - 86400)
    guess(store, alice, ELSEWHERE, ACCOUNT_BUDGET * 2)
    assert not state_of(store, alice, HOME).is_blocked


def test_guessing_from_a_known_network_is_limited_too(store: Store, alice: int) -> None:
    guesses.remember(store, alice, HOME, now=NOW)
    guess(store, alice, HOME, PAIR_BUDGET)
    assert state_of(store, alice, HOME).is_blocked
    # The same failures of an account that is unknown everywhere would block it too.
    assert state_of(store, alice, ELSEWHERE).is_blocked
    guesses.remember(store, alice, "203.0.113.1", now=NOW)
    assert not state_of(store, alice, "203.0.113.1").is_blocked


def test_failures_of_accounts_known_in_a_network_block_unknown_ones(
    store: Store, settings: Settings
) -> None:
    for number in range(NETWORK_BUDGET // PAIR_BUDGET):
        name = f"name{number}"
        accounts.add(store, settings, NewAccount(name, "staff"), change=CHANGE)
        found = credentials(store, settings, name)
        assert found
        guesses.remember(store, found.account, HOME, now=NOW)
        guess(store, found.account, HOME, PAIR_BUDGET, name=name)
    assert state_of(store, None, HOME, name="nobody").is_blocked


def test_a_spent_budget_is_never_a_debt(store: Store, alice: int) -> None:
    guesses.remember(store, alice, HOME, now=NOW)
    guess(store, alice, HOME, ACCOUNT_BUDGET + 5)
    assert state_of(store, alice, ELSEWHERE).is_blocked
    assert not state_of(store, alice, ELSEWHERE, now=NOW + ACCOUNT_REFILL).is_blocked


def test_an_exhausted_network_budget_shows_to_accounts_known_there(
    store: Store, alice: int
) -> None:
    guesses.remember(store, alice, ELSEWHERE, now=NOW)
    for number in range(NETWORK_BUDGET):
        guess(store, None, ELSEWHERE, 1, name=f"name{number}")
    known, unknown = state_of(store, alice, ELSEWHERE), state_of(store, None, ELSEWHERE, name="bob")
    assert known.is_spent
    assert unknown.is_spent
    assert not known.is_blocked


def test_blocked_networks_are_listed_and_reset(store: Store, alice: int) -> None:
    guesses.remember(store, alice, "2001:db8:1:2::7", now=NOW)
    for remote in ("2001:db8:1:2::9", ELSEWHERE):
        for number in range(NETWORK_BUDGET):
            guess(store, None, remote, 1, name=f"name{number}")
    guess(store, None, HOME, 1, name="nobody")
    opens = NOW + budgets.NETWORK_REFILL
    known = {"2001:db8:1:2::/64": opens}
    assert guesses.closed_networks(store, now=NOW) == {**known, ELSEWHERE: opens}
    assert guesses.closed_networks(store, now=NOW, account="alice") == known
    assert guesses.closed_networks(store, now=opens) == {}
    assert guesses.reset_network_failures(store, "2001:db8:1:2::/64")
    assert guesses.reset_network_failures(store, ELSEWHERE)
    assert not guesses.reset_network_failures(store, ELSEWHERE)
    assert guesses.closed_networks(store, now=NOW) == {}
    with pytest.raises(ValueError, match="not an IP address"):
        guesses.reset_network_failures(store, "alice")


def test_other_accounts_are_unaffected(store: Store, alice: int) -> None:
    guess(store, alice, ELSEWHERE, ACCOUNT_BUDGET)
    assert not state_of(store, None, ELSEWHERE, name="bob").is_blocked


def test_a_network_that_tries_many_names_is_blocked_except_for_known_accounts(
    store: Store, alice: int
) -> None:
    guesses.remember(store, alice, ELSEWHERE, now=NOW)
    for number in range(NETWORK_BUDGET):
        guess(store, None, ELSEWHERE, 1, name=f"name{number}")
    assert state_of(store, None, ELSEWHERE, name="bob").is_blocked
    assert not state_of(store, alice, ELSEWHERE).is_blocked
    assert not state_of(store, None, HOME, name="bob").is_blocked


def test_unknown_names_are_treated_like_accounts(store: Store) -> None:
    guess(store, None, ELSEWHERE, ACCOUNT_BUDGET, name="nobody")
    assert state_of(store, None, HOME, name="nobody").is_blocked


def test_addresses_of_one_ipv6_network_count_as_one(store: Store, alice: int) -> None:
    guesses.remember(store, alice, "2001:db8:1:2::7", now=NOW)
    guess(store, alice, ELSEWHERE, ACCOUNT_BUDGET)
    assert not state_of(store, alice, "2001:db8:1:2:ffff::1").is_blocked
    assert state_of(store, alice, "2001:db8:1:3::7").is_blocked


def test_a_login_without_an_address_is_charged_to_the_account(store: Store, alice: int) -> None:
    guess(store, alice, "", ACCOUNT_BUDGET)
    assert state_of(store, alice, "unknown").is_blocked
    guesses.remember(
        store, alice, "", now=NOW
    )  # without an address nothing is recorded, and nothing fails


def test_a_budget_refills_one_by_one(store: Store, alice: int) -> None:
    guess(store, alice, ELSEWHERE, ACCOUNT_BUDGET)
    almost, again = NOW + ACCOUNT_REFILL - 1, NOW + ACCOUNT_REFILL
    assert state_of(store, alice, ELSEWHERE, now=almost).is_blocked
    assert not state_of(store, alice, ELSEWHERE, now=again).is_blocked


def test_a_day_allows_fewer_than_two_hundred_guesses_from_everywhere(
    store: Store, alice: int
) -> None:
    tried = 0
    for minute in range(24 * 60):
        now = NOW + minute * 60
        at = state_of(store, alice, f"198.51.{minute // 250}.{minute % 250}", now=now)
        while not at.is_blocked and tried < 1000:
            guesses.charge(store, at.budgets[:1], now=now)
            tried += 1
            at = state_of(store, alice, ELSEWHERE, now=now)
    assert tried <= 194


def test_a_network_without_a_login_for_long_is_no_longer_known(store: Store, alice: int) -> None:
    guesses.remember(store, alice, HOME, now=NOW - budgets.KNOWN_SECONDS - 1)
    guess(store, alice, ELSEWHERE, ACCOUNT_BUDGET)
    assert state_of(store, alice, HOME).is_blocked


def test_as_many_checks_may_be_in_progress_as_failures_are_left(store: Store, alice: int) -> None:
    guess(store, alice, ELSEWHERE, 1)
    at = state_of(store, alice, ELSEWHERE)
    subject = at.budgets[0].subject
    assert at.has_room({subject: ACCOUNT_BUDGET - 2})
    assert not at.has_room({subject: ACCOUNT_BUDGET - 1})
    assert not at.is_blocked


def test_an_operator_resets_the_failures_of_an_account(store: Store, alice: int) -> None:
    guesses.remember(store, alice, HOME, now=NOW)
    for remote in (ELSEWHERE, HOME):
        guess(store, alice, remote, ACCOUNT_BUDGET)
    assert guesses.closed_until(store, "alice", now=NOW) == NOW + ACCOUNT_REFILL
    assert guesses.reset_failures(store, "alice")
    assert guesses.closed_until(store, "alice", now=NOW) is None
    assert not state_of(store, alice, ELSEWHERE).is_blocked
    assert not state_of(store, alice, HOME).is_blocked
    assert not guesses.reset_failures(store, "alice")


def test_a_network_seen_today_is_not_recorded_again(store: Store, alice: int) -> None:
    assert not state_of(store, alice, HOME).seen_lately
    guesses.remember(store, alice, HOME, now=NOW)
    guesses.remember(store, alice, HOME, now=NOW + 1)
    assert state_of(store, alice, HOME).seen_lately
    assert not state_of(store, alice, HOME, now=NOW + 2 * 86400).seen_lately


def test_full_budgets_and_old_networks_are_deleted(store: Store, alice: int) -> None:
    guess(store, alice, ELSEWHERE, 2)
    guesses.remember(store, alice, HOME, now=NOW)
    assert guesses.delete_expired(store, now=NOW) == 0
    assert guesses.delete_expired(store, now=NOW + budgets.KNOWN_SECONDS) == 3
    assert guesses.delete_expired(store, now=NOW + budgets.KNOWN_SECONDS) == 0


def test_parallel_failures_are_all_counted(store: Store, alice: int) -> None:
    budgets = state_of(store, alice, ELSEWHERE).budgets
    with ThreadPoolExecutor(8) as pool:
        for done in [
            pool.submit(guesses.charge, store, budgets, now=NOW) for _ in range(ACCOUNT_BUDGET)
        ]:
            done.result()
    assert state_of(store, alice, ELSEWHERE).is_blocked
