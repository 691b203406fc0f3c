"""`gatepost setup` where 0.1.0 was installed by hand; tests/existing upgrades a real one."""

from pathlib import Path

import pytest

from config.setup import dovecot, postfix
from config.setup.dovecot import AUTH, INSTALLED_AUTH, QUOTA, STATUS, DovecotFacts
from config.setup.dovecot_files import ConfigFile
from config.setup.files import Change
from config.setup.part import SetupNote

EDITED = (
    "passdb {\n  driver = checkpassword\n  args = /opt/gatepost/checkpassword --socket /run/x\n}\n"
)
# The file of 0.1.0 held quota-status, too.
OLD_QUOTA = "plugin {\n  quota = count:User quota\n}\nservice quota-status {\n}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / AUTH).write_text(EDITED)
    (tmp_path / QUOTA).write_text(OLD_QUOTA)
    return tmp_path


def plan(folder: Path, *recorded: Path) -> tuple[dict[str, Change], list[SetupNote]]:
    files = [ConfigFile(each, each.read_text()) for each in folder.iterdir()]
    facts = DovecotFacts("2.3", files, "", recorded)
    changes, notes = dovecot.plan(
        facts, folder, folder, queue="/srv/queue", warnings=False, end_others=False
    )
    return {each.path.name: each for each in changes}, notes


def test_gateposts_passdb_is_not_added_a_second_time(folder: Path) -> None:
    changes, _ = plan(folder)
    assert INSTALLED_AUTH not in changes


def test_a_file_edited_by_hand_is_kept_and_named(folder: Path) -> None:
    changes, notes = plan(folder)
    assert changes[AUTH].after == EDITED
    assert not changes[AUTH].is_gateposts  # so undo leaves it
    assert [str(folder / AUTH) in note.text for note in notes] == [True, False]


def test_a_file_of_an_earlier_run_is_renewed(folder: Path) -> None:
    changes, notes = plan(folder, folder / AUTH, folder / QUOTA)
    assert changes[AUTH].after != EDITED
    assert changes[AUTH].is_gateposts
    assert notes == []


def test_quota_status_outlives_the_renewal_of_the_file_that_held_it(folder: Path) -> None:
    changes, _ = plan(folder, folder / QUOTA)
    assert "quota-status" not in (changes[QUOTA].after or "")
    assert "service quota-status {" in (changes[STATUS].after or "")


def test_lines_of_main_cf_added_by_hand_are_recognized() -> None:
    assert postfix.is_set_up_by_hand(
        "gatepost_inbound = check_policy_service inet:127.0.0.1:10040\n"
    )
    assert not postfix.is_set_up_by_hand("smtpd_data_restrictions = $gatepost_policy\n")
