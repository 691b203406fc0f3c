"""`gatepost limit` shows and resets any address or account, or refuses clearly."""

from pathlib import Path

import pytest

from store.engine import Store
from store.limits.open import open_counters
from store.limits.window import Charge, Limit
from tests.cli_commands.conftest import Run


def test_an_unused_limit_is_shown(run: Run) -> None:
    run("account", "add", "alice", "--role", "student", "--alias", "al")
    shown = run("limit", "show", "Al@mail.example.edu", "--json").document
    assert [(s["subject"], s["used"], s["limit"]) for s in shown] == [
        ("account alice", 0, 200),
        ("account alice", 0, 500),
    ]
    (client,) = run("limit", "show", "2001:db8::7", "--json").document
    assert (client["subject"], client["limit"]) == ("client 2001:db8::/64", 200)
    assert "0 of 200" in run("limit", "show", "192.0.2.7").out


@pytest.mark.parametrize("text", ["alcie", "192.0.2.300", "nobody@elsewhere.example", ""])
def test_an_unknown_subject_is_refused(run: Run, text: str) -> None:
    done = run("limit", "show", text or " ")
    assert done.code == 1
    assert "neither an address nor an account" in done.err


@pytest.mark.parametrize(
    ("network", "client", "exempt"),
    [
        ("192.0.2.0/24", "192.0.2.7", True),
        ("192.0.2.7", "::ffff:192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8::/48", "2001:db8::7", True),
        ("2001:db8::7", "2001:db8::7", True),
        ("2001:db8::7", "2001:db8::8", False),
        ("192.0.2.0/24", "2001:db8::8", False),
    ],
)
def test_an_exempt_client_says_so(run: Run, network: str, client: str, exempt: bool) -> None:
    added = run("whitelist", "add", network, "--reason", "x", "--json").document
    (shown,) = run("limit", "show", client, "--json").document
    assert shown["exempt"] == (added["id"] if exempt else None)
    assert ("entry 1" in run("limit", "show", client).out) == exempt


def test_json_shows_use_and_limit(run: Run, folder: Path) -> None:
    store = Store(f"sqlite:///{folder}/gatepost.db")
    usage = open_counters(store)
    limits = (Limit("client 192.0.2.7", 3600, 200), Limit("account gone", 60, 9))
    usage.charge([Charge(1, 5, limits)], lambda *_: "")
    usage.close()
    store.close()
    shown = run("limit", "show", "--json").document
    assert {s["subject"]: (s["used"], s["limit"]) for s in shown} == {
        "client 192.0.2.7": (5, 200),
        "account gone": (5, None),  # no window of a minute any more
    }
    assert "5 of 200" in run("limit", "show", "192.0.2.7").out
    assert "account gone" in run("limit", "show", "gone").out


def test_limit_reset_needs_a_reason_and_clears_the_use(run: Run, folder: Path) -> None:
    run("account", "add", "alice", "--role", "student")
    store = Store(f"sqlite:///{folder}/gatepost.db")
    usage = open_counters(store)
    usage.charge([Charge(None, 7, (Limit("account alice", 3600, 200),))], lambda *_: "")
    usage.close()
    store.close()
    assert run("limit", "show", "alice", "--json").document[0]["used"] == 7
    assert run("limit", "reset", "alice").code == 2  # without a reason
    done = run("limit", "reset", "Alice@mail.example.edu", "--reason", "virus gone", "--json")
    assert done.document == {"subject": "account alice", "windows": 1, "passwords": False}
    assert run("limit", "show", "alice", "--json").document[0]["used"] == 0
    assert run("limit", "reset", "2001:db8::7", "--reason", "x", "--json").document["windows"] == 0
    assert run("limit", "reset", "alcie", "--reason", "x").code == 1
    assert "virus gone" in run("audit").out
