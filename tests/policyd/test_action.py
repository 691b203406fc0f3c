"""The texts of refusals."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Settings
from policyd import action
from policyd.protocol import encode
from store.limits.window import Charge, ChargeResult, Limit
from tests.conftest import settings_for

NOON = 1_800_014_400  # 15 January 2027, 12:00 UTC
CLIENT = Limit("client 192.0.2.7", 3600, 200)
BOB = Limit("account bob", 86400, 500)
HELP = "https://mail.example.edu/help"


def site(**tables: object) -> Settings:
    portal = {"base_url": "https://mail.example.edu/gatepost"}
    return settings_for("sqlite:////tmp/none.db", **{"portal": portal, **tables})


def said(verdict: ChargeResult, settings: Settings, amount: int = 1) -> str:
    charge = Charge(None, amount, ())
    return action.over_limit(charge, verdict, NOON, settings=settings, zone=UTC)


def test_a_refused_client_learns_limit_use_time_and_where_to_register() -> None:
    verdict = ChargeResult(accepted=False, limit=CLIENT, used=200, again=NOON + 9270)
    assert said(verdict, site()) == (
        "450 4.7.1 Limit of 200 recipients per hour for 192.0.2.7 reached (200 used). "
        "Try again at 14:35, or register this computer for 60 minutes: "
        "https://mail.example.edu/gatepost/whitelist"
    )


def test_an_account_over_its_limit_is_not_advised_to_register_a_computer() -> None:
    verdict = ChargeResult(accepted=False, limit=BOB, used=498, again=NOON + 86400)
    assert said(verdict, site(), amount=5) == (
        "450 4.7.1 Limit of 500 recipients per day for bob reached (498 used, 5 more wanted). "
        "Try again at 12:00 on 16 Jan"
    )


def test_without_a_portal_the_help_page_is_named_and_without_one_nothing() -> None:
    verdict = ChargeResult(accepted=False, limit=CLIENT, used=200, again=NOON)
    page = {"domains": ["mail.example.edu"], "help_url": HELP}
    assert said(verdict, site(portal={}, site=page)).endswith("60 minutes: " + HELP)
    assert said(verdict, site(portal={})).endswith("Try again at 12:00")


def test_a_message_that_never_fits_is_refused_for_good() -> None:
    verdict = ChargeResult(accepted=False, limit=CLIENT, used=0, again=None)
    assert said(verdict, site(), amount=300) == (
        "550 5.7.1 Limit of 200 recipients per hour for 192.0.2.7: "
        "a message to 300 recipients never fits"
    )


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "12:00"), (1, "12:01"), (60, "12:01"), (43200, "00:00 on 16 Jan")]
)
def test_times_are_rounded_up_to_the_minute(seconds: int, shown: str) -> None:
    assert action.clock(NOON + seconds, NOON, UTC) == shown


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Europe/Berlin"), None])
def test_a_leap_second_is_the_minute_that_follows(zone: tzinfo | None) -> None:
    midnight = datetime(2017, 1, 1, tzinfo=UTC).timestamp()  # 23:59:60 came before it
    following = datetime.fromtimestamp(midnight, zone)
    for second in (midnight - 1, midnight - 0.5, midnight):
        assert action.clock(second, midnight, zone) == f"{following:%H:%M}"


def test_times_are_those_of_the_site() -> None:
    assert action.clock(NOON, NOON, timezone(timedelta(hours=8))) == "20:00"


@given(reason=st.text(), name=st.text(min_size=1))
def test_no_reason_or_name_can_break_out_of_the_reply(reason: str, name: str) -> None:
    settings = site()
    for text in (
        action.suspended(name, reason, "", settings),
        action.too_large(name, 2, 1, settings),
    ):
        assert encode(text).count(b"\n") == 2
        assert text.isascii()
    limit = Limit(f"account {name}", 60, 1)
    assert encode(said(ChargeResult(accepted=False, limit=limit, used=1, again=NOON), settings))


def test_a_reply_has_a_bounded_length() -> None:
    assert len(action.suspended("alice", "x" * 10_000, "", site())) <= action.MAX_TEXT


def test_a_reason_that_is_not_ascii_is_left_out() -> None:
    text = action.suspended("alice", "帳號被盜", "", site())
    assert text.startswith("550 5.7.1 Sending is stopped for alice. Questions: postmaster@")
