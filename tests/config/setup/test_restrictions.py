"""gatepost is put where it is reached, whatever the site's list looks like."""

import pytest

from config.setup import main_cf, restrictions

WORD = "$gatepost_policy"
MACROS = {
    "site_checks": "reject_unknown_sender_domain",
    "site_friends": "permit_mynetworks, reject_unauth_pipelining",
    "greylist": "check_policy_service inet:127.0.0.1:10023",
    "loop": "$loop",
}


def with_gatepost(value: str, *, at_rcpt: bool = False) -> str:
    """Return the list *value* with gatepost in it."""
    text = f"name = {value}\n"
    found = main_cf.find(text, "name")
    assert found
    index = restrictions.position(
        found.text, MACROS.get, behind_relay_control=at_rcpt, maps=not at_rcpt
    )
    after = restrictions.insert(text, found, index, WORD)
    again = main_cf.find(after, "name")
    assert again
    assert restrictions.is_reached(again.text, WORD, MACROS.get)
    assert restrictions.remove(after, again, WORD) == text
    return after.removeprefix("name = ").rstrip("\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", WORD),
        ("reject_unauth_pipelining", f"reject_unauth_pipelining {WORD}"),
        ("reject_unauth_pipelining, permit", f"reject_unauth_pipelining, {WORD}, permit"),
        ("permit_mynetworks reject_a", f"{WORD} permit_mynetworks reject_a"),
        ("check_client_access cidr:/a, reject_b", f"{WORD}, check_client_access cidr:/a, reject_b"),
        ("hash:/etc/postfix/access, reject_b", f"{WORD}, hash:/etc/postfix/access, reject_b"),
        ("reject_rbl_client a.example, permit", f"reject_rbl_client a.example, {WORD}, permit"),
        ("warn_if_reject reject_a, permit", f"warn_if_reject reject_a, {WORD}, permit"),
        ("warn_if_reject check_a_access hash:/a", f"{WORD} warn_if_reject check_a_access hash:/a"),
        ("check_policy_service { inet:h:1, timeout=10s }, permit",
         f"check_policy_service {{ inet:h:1, timeout=10s }}, {WORD}, permit"),
        ("$site_checks, permit", f"$site_checks, {WORD}, permit"),
        ("${site_friends}, reject_a", f"{WORD}, ${{site_friends}}, reject_a"),
        ("greylist, reject", f"greylist, {WORD}, reject"),
        ("$loop, reject_a", f"{WORD}, $loop, reject_a"),
        ("permit_dnswl_client list.example=127.0.0.[2..4]",
         f"{WORD} permit_dnswl_client list.example=127.0.0.[2..4]"),
    ],
)  # fmt: skip
def test_gatepost_precedes_everything_that_may_let_mail_pass(before: str, after: str) -> None:
    assert with_gatepost(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("permit_mynetworks, reject_unauth_destination, permit",
         f"permit_mynetworks, reject_unauth_destination, {WORD}, permit"),
        ("reject_unauth_destination, check_client_access cidr:/bad, permit",
         f"reject_unauth_destination, check_client_access cidr:/bad, {WORD}, permit"),
        ("permit_sasl_authenticated, reject", f"{WORD}, permit_sasl_authenticated, reject"),
        ("permit_mynetworks defer_unauth_destination",
         f"permit_mynetworks defer_unauth_destination {WORD}"),
    ],
)  # fmt: skip
def test_at_rcpt_gatepost_follows_the_relay_control(before: str, after: str) -> None:
    assert with_gatepost(before, at_rcpt=True) == after


def test_a_list_with_one_restriction_a_line_stays_that_way() -> None:
    before = "\n    reject_a,\n    # comment\n    permit"
    assert with_gatepost(before) == f"\n    reject_a,\n    # comment\n    {WORD},\n    permit"
    assert (
        with_gatepost("\n    reject_a,\n    reject_b")
        == f"\n    reject_a,\n    reject_b,\n    {WORD}"
    )


@pytest.mark.parametrize("value", [f"permit, {WORD}", f"reject, {WORD}", "reject_a", ""])
def test_a_word_after_an_unconditional_permit_is_not_reached(value: str) -> None:
    assert not restrictions.is_reached(value, WORD, MACROS.get)
