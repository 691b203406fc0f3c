"""The decisions of the rules: refusals, and charges with their subjects."""

from typing import Any

import pytest

from policyd.action import DUNNO
from policyd.context import Decision
from policyd.decide import decide
from policyd.facts import Facts
from policyd.request import parse
from store.engine import Store
from store.limits.window import Charge
from store.people import accounts
from tests.conftest import CHANGE
from tests.policyd.conftest import NOW, MakeFacts, wire

MIB = 1 << 20
HOUR, DAY = 3600, 86400


def asked(facts: Facts, *, now: float = NOW, **attributes: Any) -> Decision | Charge:
    return decide(parse(wire(**attributes)[:-2]), facts, now)


def text(facts: Facts, *, now: float = NOW, **attributes: Any) -> str:
    found = asked(facts, now=now, **attributes)
    assert isinstance(found, Decision)
    return found.action


def subjects(facts: Facts, *, now: float = NOW, **attributes: Any) -> list[tuple[str, int, int]]:
    found = asked(facts, now=now, **attributes)
    return [(*limit,) for limit in found.limits] if isinstance(found, Charge) else []


def test_a_suspended_account_sends_nothing_until_its_date(make_facts: MakeFacts) -> None:
    facts = make_facts()
    refusal = text(facts, protocol_state="RCPT", sasl_username="Carol@mail.example.edu")
    assert refusal == (
        "550 5.7.1 Sending is stopped for carol until 09:00: a test. "
        "Questions: postmaster@mail.example.edu"
    )
    assert subjects(facts, now=NOW + HOUR, sasl_username="carol")


@pytest.mark.parametrize("state", ["RCPT", "DATA", "END-OF-MESSAGE"])
def test_an_account_with_its_initial_password_is_refused_at_each_state(
    make_facts: MakeFacts, store: Store, state: str
) -> None:
    facts = make_facts(auth={"initial_may_send": False})
    new = accounts.NewAccount("dora", "staff", password="{PLAIN}x", initial=True)
    accounts.add(store, facts.settings, new, change=CHANGE, now=NOW)
    facts.directory.refresh()
    assert text(facts, protocol_state=state, sasl_username="dora") == (
        "550 5.7.1 dora may send after the initial password is changed. "
        "Questions: postmaster@mail.example.edu"
    )
    assert subjects(facts, sasl_username="bob")
    accounts.set_password(
        store, facts.settings, "dora", "{PLAIN}y", how="changed", change=CHANGE, now=NOW
    )
    facts.directory.refresh()
    assert subjects(facts, now=NOW + 1, sasl_username="dora")


def test_an_account_with_its_initial_password_sends_where_the_site_lets_it(
    make_facts: MakeFacts, store: Store
) -> None:
    facts = make_facts()
    new = accounts.NewAccount("dora", "staff", password="{PLAIN}x", initial=True)
    accounts.add(store, facts.settings, new, change=CHANGE, now=NOW)
    facts.directory.refresh()
    assert subjects(facts, sasl_username="dora")


def test_an_exact_account_name_wins_over_the_name_without_extension(
    make_facts: MakeFacts, store: Store
) -> None:
    site = {"domains": ["mail.example.edu"], "recipient_delimiter": "-+"}
    facts = make_facts(site=site)
    for name in ("mary", "mary-ann"):
        accounts.add(
            store, facts.settings, accounts.NewAccount(name, "staff"), change=CHANGE, now=NOW
        )
    facts.directory.refresh()
    for user, counted in (
        ("mary-ann", "account mary-ann"),
        ("mary-ann+x@mail.example.edu", "account mary-ann"),
        ("mary-lists", "account mary"),
        ("mary+x", "account mary"),
        ("nobody-x", "account nobody"),
    ):
        assert counted in [subject for subject, _, _ in subjects(facts, sasl_username=user)]


@pytest.mark.parametrize("state", ["RCPT", "DATA"])
@pytest.mark.parametrize(
    ("recipient", "size", "refused"),
    [
        ("bob@mail.example.edu", (50 * 1.37 + 1) * MIB, False),
        ("bob@mail.example.edu", (50 * 1.37 + 1) * MIB + 1, True),
        ("Bob+lists@mail.example.edu", 100 * MIB, True),
        ("a.lovelace@mail.example.edu", 100 * MIB, False),
        ("a.lovelace@mail.example.edu", 700 * MIB, True),
        ("nobody@mail.example.edu", 700 * MIB, False),
        ("bob@elsewhere.example", 700 * MIB, False),
        ("bob@mail.example.edu", 0, False),
    ],
)
def test_a_declared_size_is_checked_against_the_role_of_the_recipient(
    make_facts: MakeFacts, state: str, recipient: str, size: float, *, refused: bool
) -> None:
    said = text(
        make_facts(),
        protocol_state=state,
        recipient=recipient,
        size=int(size),
        client_address="198.51.100.1",
    )
    assert said.startswith("552 5.3.4 ") is refused
    assert refused or said == DUNNO


def test_a_letter_passes_a_role_without_attachments(make_facts: MakeFacts, store: Store) -> None:
    facts = make_facts()
    accounts.set_fields(store, facts.settings, "bob", fields={"attachments": "0"}, change=CHANGE)
    facts.directory.refresh()
    recipient = "bob@mail.example.edu"
    assert text(facts, protocol_state="RCPT", recipient=recipient, size=MIB) == DUNNO


def test_a_size_refusal_names_limit_and_advice(make_facts: MakeFacts) -> None:
    said = text(
        make_facts(), protocol_state="RCPT", recipient="bob@mail.example.edu", size=96 * MIB
    )
    assert said == (
        "552 5.3.4 Attachments for bob may have 50 MiB at most; this message is 96 MiB. "
        "Send a cloud link instead."
    )


@pytest.mark.parametrize(("applies_to", "refused"), [("recipient", False), ("both", True)])
@pytest.mark.parametrize(
    "asked_at",
    [
        {"protocol_state": "RCPT", "recipient": "alice@mail.example.edu"},
        {"protocol_state": "DATA", "recipient": "", "recipient_count": 9},
    ],
)
def test_the_sizes_of_the_sender_count_when_configured(
    make_facts: MakeFacts, applies_to: str, asked_at: dict[str, Any], *, refused: bool
) -> None:
    facts = make_facts(attachments={"applies_to": applies_to})
    found = asked(facts, sasl_username="bob", size=96 * MIB, **asked_at)
    said = found.action if isinstance(found, Decision) else ""
    assert said.startswith("552") is refused


def test_too_many_recipients_of_one_message_are_refused_for_good(make_facts: MakeFacts) -> None:
    facts = make_facts()
    assert text(facts, recipient_count=101).startswith("550 5.5.3 This message has 101 recipients")
    assert subjects(facts, recipient_count=100)
    assert text(facts, recipient_count=101, policy_context="inbound") == DUNNO


def test_observe_mode_passes_too_many_recipients_and_logs_it(make_facts: MakeFacts) -> None:
    found = asked(make_facts(limits={"mode": "observe"}), recipient_count=101)
    assert found == Decision(DUNNO, "would-refuse")


def test_client_and_account_are_both_charged(make_facts: MakeFacts) -> None:
    assert subjects(make_facts(), sasl_username="bob") == [
        ("client 192.0.2.7", HOUR, 200),
        ("account bob", HOUR, 200),
        ("account bob", DAY, 500),
    ]


@pytest.mark.parametrize("name", ["alice", "Alice@mail.example.edu", "alice+x@mail.example.edu"])
def test_all_spellings_of_an_account_are_one_counter(make_facts: MakeFacts, name: str) -> None:
    assert ("account alice", HOUR, 1000) in subjects(make_facts(), sasl_username=name)


def test_an_ipv6_network_is_one_client(make_facts: MakeFacts) -> None:
    facts = make_facts()
    for address in ("2001:db8::1", "2001:db8::ffff:1"):
        assert subjects(facts, client_address=address) == [("client 2001:db8::/64", HOUR, 200)]
    wider = make_facts(limits={"ipv6_prefix": 48})
    assert subjects(wider, client_address="2001:db8::1") == [("client 2001:db8::/48", HOUR, 200)]
    assert subjects(facts, client_address="::ffff:192.0.2.7") == [("client 192.0.2.7", HOUR, 200)]


def test_the_whitelist_lifts_the_client_limit_only_and_until_its_second(
    make_facts: MakeFacts,
) -> None:
    facts = make_facts()
    listed: dict[str, Any] = {"client_address": "192.0.2.99", "sasl_username": "bob"}
    assert [s for s, _, _ in subjects(facts, **listed)] == ["account bob", "account bob"]
    assert text(facts, client_address="192.0.2.99") == DUNNO
    assert "client 192.0.2.99" in [s for s, _, _ in subjects(facts, now=NOW + 600, **listed)]


def test_the_whitelist_lifts_account_limits_where_configured(make_facts: MakeFacts) -> None:
    facts = make_facts(whitelist={"lifts": ["client", "account"]})
    assert text(facts, client_address="192.0.2.99", sasl_username="bob") == DUNNO


@pytest.mark.parametrize(
    ("attributes", "charged"),
    [
        ({"client_address": "198.51.100.1"}, False),
        ({"client_address": "198.51.100.1", "sasl_username": "bob"}, True),
        ({"client_address": "198.51.100.1", "policy_context": "submission"}, True),
        ({"policy_context": "inbound"}, False),
        ({"policy_context": "inbound", "sasl_username": "bob"}, True),
        ({"client_address": "unknown"}, False),
        ({"sender": ""}, True),
        ({"sender": "", "policy_context": "submission"}, True),
        ({"sender": "", "client_address": "2001:db8::7"}, True),
        ({"sender": "", "client_address": "198.51.100.1"}, False),
        ({"sender": "", "sasl_username": "bob"}, True),
        ({"protocol_state": "RCPT", "recipient_count": 0}, False),
        ({"protocol_state": "END-OF-MESSAGE"}, False),
        ({"recipient_count": 0}, False),
    ],
)
def test_only_mail_of_local_users_is_charged(
    make_facts: MakeFacts, attributes: dict[str, Any], *, charged: bool
) -> None:
    assert bool(subjects(make_facts(), **attributes)) is charged


@pytest.mark.parametrize(
    ("charge_at", "amounts"),
    [
        ("RCPT", {"RCPT": 1, "DATA": None, "END-OF-MESSAGE": None}),
        ("DATA", {"RCPT": None, "DATA": 5, "END-OF-MESSAGE": None}),
        ("END-OF-MESSAGE", {"RCPT": None, "DATA": None, "END-OF-MESSAGE": 5}),
    ],
)
def test_the_site_chooses_when_to_charge(
    make_facts: MakeFacts, charge_at: str, amounts: dict[str, int | None]
) -> None:
    facts = make_facts(limits={"charge_at": charge_at})
    for state, amount in amounts.items():
        found = asked(facts, protocol_state=state, recipient_count=5, size=0)
        assert (found.amount if isinstance(found, Charge) else None) == amount


@pytest.mark.parametrize("charge_at", ["RCPT", "DATA", "END-OF-MESSAGE"])
@pytest.mark.parametrize(
    ("attributes", "cause"),
    [
        ({"client_address": "192.0.2.99"}, "exempt"),
        ({"client_address": "198.51.100.1"}, "inbound"),
        ({"policy_context": "inbound", "client_address": "192.0.2.99"}, "inbound"),
        ({"sender": "", "client_address": "192.0.2.1"}, "null-sender"),
        ({"client_address": "unknown", "policy_context": "submission"}, "no-limit"),
    ],
)
def test_an_uncharged_message_is_logged_with_its_reason(
    make_facts: MakeFacts, charge_at: str, attributes: dict[str, Any], cause: str
) -> None:
    facts = make_facts(limits={"charge_at": charge_at})
    for state in ("RCPT", "DATA", "END-OF-MESSAGE"):
        found = asked(facts, protocol_state=state, size=0, **attributes)
        assert isinstance(found, Decision)
        assert (found.action, found.reason) == (DUNNO, cause if state == charge_at else "")


OWN = ["127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"]


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("context", ["", "submission", "inbound"])
def test_a_report_of_this_machine_is_never_charged_though_its_addresses_are_campus(
    make_facts: MakeFacts, own: str, context: str
) -> None:
    campus = {"campus_networks": ["127.0.0.0/8", "::1/128", "192.0.2.0/24", "2001:db8::/32"]}
    facts = make_facts(site={"domains": ["mail.example.edu"], **campus})
    report: dict[str, Any] = {
        "sender": "",
        "client_address": own,
        "server_address": own,
        "policy_context": context,
    }
    assert text(facts, **report) == DUNNO
    # A login is a user's mail, and so is mail with a sender.
    assert subjects(facts, **report | {"sasl_username": "bob"})
    assert bool(subjects(facts, **report | {"sender": "list@x.example"})) is (context != "inbound")


@pytest.mark.parametrize("own", OWN)
def test_a_null_sender_from_another_machine_is_charged(make_facts: MakeFacts, own: str) -> None:
    neighbour = "2001:db8::9" if ":" in own else "192.0.2.9"
    facts = make_facts()
    assert subjects(facts, sender="", client_address=neighbour, server_address=own)


def test_an_override_holds_until_its_date(make_facts: MakeFacts, store: Store) -> None:
    facts = make_facts()
    accounts.set_fields(
        store,
        facts.settings,
        "bob",
        fields={"send": "7/1h", "send_until": NOW + 60},
        change=CHANGE,
    )
    facts.directory.refresh()
    assert ("account bob", HOUR, 7) in subjects(facts, sasl_username="bob")
    assert ("account bob", HOUR, 200) in subjects(facts, sasl_username="bob", now=NOW + 60)


def test_an_unknown_account_gets_the_largest_limits(make_facts: MakeFacts) -> None:
    found = subjects(make_facts(), sasl_username="new@mail.example.edu")
    assert ("account new", HOUR, 1000) in found


def test_a_login_that_is_not_utf8_is_a_subject_the_store_can_hold(make_facts: MakeFacts) -> None:
    raw = wire(sasl_username="X").replace(b"sasl_username=X", b"sasl_username=\xe9\xf0")
    found = decide(parse(raw[:-2]), make_facts(), NOW)
    assert isinstance(found, Charge)
    assert found.limits[1].subject == "account \\udce9\\udcf0"


def test_a_repeat_has_the_id_of_its_message_and_no_other(make_facts: MakeFacts) -> None:
    facts = make_facts()

    def identity(**attributes: Any) -> int | None:
        found = asked(facts, **attributes)
        assert isinstance(found, Charge)
        return found.id

    assert identity(queue_id="other") == identity()
    assert identity(instance="1a2b.65f0c0de.7a120.1") != identity()
    assert identity(recipient="a@example.org") != identity()
    assert identity(recipient_count=2) != identity()
    assert identity(instance="") is None
    assert 0 <= (identity() or 0) < 1 << 63
