"""What `gatepost setup postfix` does to main.cf, read back with Postfix's own postconf."""

import dataclasses
import subprocess
from pathlib import Path

import pytest

from config.settings import Settings
from config.setup import main_cf, postfix
from config.setup.part import CannotSetUp
from tests.conftest import settings_for
from tests.stack import programs

# A mail server with settings of its own.
SITE = """\
compatibility_level = 3.6
virtual_mailbox_domains = uni.example
virtual_transport = lmtp:unix:private/ours
smtpd_milters = inet:127.0.0.1:8891
non_smtpd_milters = $smtpd_milters
milter_default_action = accept
smtpd_restriction_classes = greylist
greylist =
smtpd_recipient_restrictions =
    permit_mynetworks, reject_unauth_destination,
    # their own
    check_policy_service inet:127.0.0.1:10023, permit
smtpd_data_restrictions = reject_unauth_pipelining, permit
message_size_limit = 10240000
mailbox_size_limit = 0
virtual_mailbox_limit = 900000000
"""
FACTS = postfix.PostfixFacts(
    version=(3, 7),
    queue_directory="/var/spool/postfix",
    defaults={"disable_vrfy_command": "no", **dict.fromkeys(postfix.SIZES, "10240000")},
    services=("smtp/inet", "submission/inet", "127.0.0.1:10025/inet"),
    overrides={},
    free=1 << 40,
)


@pytest.fixture
def settings(url: str) -> Settings:
    return settings_for(url)


def plan(text: str, settings: Settings, **facts: object) -> tuple[str, list[str]]:
    known = dataclasses.replace(FACTS, **facts)  # type: ignore[arg-type]
    after, notes = postfix.plan(text, settings, known)
    return after, [f"{note.text} {note.mend}" for note in notes]


def both(text: str, settings: Settings) -> str:
    return postfix.plan_quota(plan(text, settings)[0], settings)


def parameter(folder: Path, name: str) -> str:
    return subprocess.run(
        [programs.path("postconf"), "-c", str(folder), "-h", name],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip


@pytest.mark.system
def test_the_sites_settings_are_kept_and_gatepost_is_reached(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "main.cf").write_text(both(SITE, settings))
    (tmp_path / "master.cf").write_text("")
    wanted = {
        "smtpd_milters": "inet:127.0.0.1:8891 $gatepost_milter",
        "non_smtpd_milters": "$smtpd_milters",
        "milter_default_action": "accept",
        "smtpd_restriction_classes": "greylist gatepost_quota_status",
        "smtpd_recipient_restrictions": "permit_mynetworks, reject_unauth_destination, "
        "check_policy_service inet:127.0.0.1:10023, $gatepost_policy, $gatepost_quota, permit",
        "smtpd_data_restrictions": "reject_unauth_pipelining, $gatepost_policy, permit",
        "message_size_limit": "718495313",
        "mailbox_size_limit": "0",
        "virtual_mailbox_limit": "900000000",
        "disable_vrfy_command": "yes",
        "gatepost_milter": "{ unix:gatepost/milter.sock, default_action=tempfail }",
    }
    assert {name: parameter(tmp_path, name) for name in wanted} == wanted


@pytest.mark.system
def test_postfix_reads_the_result_without_a_warning(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(both(SITE, settings))
    (tmp_path / "master.cf").write_text("")
    for words in (["-n"], ["-M"]):
        done = subprocess.run(
            [programs.path("postconf"), "-c", str(tmp_path), *words],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert done.stderr == ""


def test_a_second_run_changes_nothing(settings: Settings) -> None:
    once = both(SITE, settings)
    assert both(once, settings) == once


def test_undo_restores_main_cf_byte_for_byte(settings: Settings) -> None:
    after = postfix.without(both(SITE, settings), SITE)
    assert postfix.without_quota(after) == SITE


def test_undo_keeps_later_edits_of_main_cf(settings: Settings) -> None:
    edited = both(SITE, settings).replace("permit_mynetworks,", "permit_mynetworks, reject_x,")
    edited = edited.replace("718495313", "999999999", 1)  # a size of their own
    edited += "later = yes\n"
    wanted = SITE.replace("permit_mynetworks,", "permit_mynetworks, reject_x,")
    wanted = wanted.replace("10240000", "999999999") + "later = yes\n"
    assert postfix.without_quota(postfix.without(edited, SITE)) == wanted


def test_a_list_that_is_not_set_is_added_in_gateposts_block(settings: Settings) -> None:
    after, _ = plan("compatibility_level = 3.6\n", settings)
    block = main_cf.block(after, postfix.BLOCK) or ""
    assert "\nsmtpd_data_restrictions = $gatepost_policy\n" in block
    assert postfix.without(after) == "compatibility_level = 3.6\n"


def test_charging_at_end_of_message_adds_gatepost_to_that_list(url: str) -> None:
    settings = settings_for(url, limits={"charge_at": "END-OF-MESSAGE"})
    after, _ = plan(SITE, settings)
    assert "smtpd_end_of_data_restrictions = $gatepost_policy\n" in after


def test_a_service_that_overrides_a_list_is_noted_with_the_cure(settings: Settings) -> None:
    own = {
        ("submission/inet", "smtpd_data_restrictions"): "reject_unauth_pipelining",
        ("submission/inet", "smtpd_milters"): "",
        ("submission/inet", "smtpd_recipient_restrictions"): "",
        ("127.0.0.1:10025/inet", "smtpd_milters"): "",
    }
    _, notes = plan(SITE, settings, overrides=own)
    limits, milter = notes
    assert limits.startswith("master.cf: submission/inet overrides smtpd_data_restrictions")
    assert limits.endswith(
        "postconf -P 'submission/inet/smtpd_data_restrictions="
        "$gatepost_policy,reject_unauth_pipelining'"
    )
    assert milter.endswith("postconf -P 'submission/inet/smtpd_milters=$gatepost_milter'")


def test_setup_stops_when_the_queue_has_too_little_free_space(
    settings: Settings,
) -> None:
    with pytest.raises(CannotSetUp, match="refuses all mail"):
        plan(SITE, settings, free=1 << 30)


def test_setup_stops_when_a_chroot_cannot_see_a_socket(url: str) -> None:
    settings = settings_for(url, milter={"listen": "unix:/run/gatepost/milter.sock"})
    with pytest.raises(CannotSetUp, match=r"milter\.listen.*unix:/var/spool/postfix/gatepost"):
        plan(SITE, settings)


def test_postfix_accepts_what_the_largest_role_may_receive(settings: Settings) -> None:
    found = main_cf.find(plan(SITE, settings)[0], "message_size_limit")
    largest = max(role.attachments for role in settings.roles.values())
    assert found
    # base64 with line ends: 78 bytes on the wire for 57.
    assert int(found.text) > largest * 78 / 57


def test_sockets_are_named_relative_to_the_queue(url: str) -> None:
    where = {"listen": ["unix:/srv/queue/gatepost/policyd.sock"]}
    settings = settings_for(
        url, policyd=where, milter={"listen": "unix:/srv/queue/gatepost/milter.sock"}
    )
    after, _ = plan(SITE, settings, queue_directory="/srv/queue")
    assert "unix:gatepost/policyd.sock" in after
    assert "unix:gatepost/milter.sock" in after


def test_a_port_is_written_as_it_is(url: str) -> None:
    settings = settings_for(url, policyd={"listen": ["inet:127.0.0.1:10040"]})
    assert "{ inet:127.0.0.1:10040, timeout=10s" in plan(SITE, settings)[0]
