"""`gatepost setup` shows before it changes, says why it cannot, and gives back what it changed."""

from pathlib import Path

import pytest

from config.setup import record
from tests.cli_commands.conftest import Run

MAIN_CF = "compatibility_level = 3.6\nsmtpd_data_restrictions = reject_unauth_pipelining, permit\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a main.cf; Postfix itself does not run."""
    folder = tmp_path / "postfix"
    folder.mkdir()
    (folder / "main.cf").write_text(MAIN_CF)
    (folder / "master.cf").write_text("")
    monkeypatch.setattr(record, "FOLDER", tmp_path / "record")
    return folder


def test_without_apply_the_change_is_shown_and_not_made(run: Run, site: Path) -> None:
    done = run("setup", "postfix", "--postfix", str(site))
    assert done.code == 0
    assert "+smtpd_data_restrictions = reject_unauth_pipelining, $gatepost_policy" in done.out
    assert "nothing was changed" in done.out
    assert (site / "main.cf").read_text() == MAIN_CF


def test_json_is_one_document(run: Run, site: Path) -> None:
    done = run("setup", "postfix", "--postfix", str(site), "--json")
    (told,) = done.document["parts"]
    assert told["part"] == "postfix"
    assert "$gatepost_policy" in told["diff"]
    assert told["is_done"] is False


@pytest.mark.integration  # changing anything takes root
def test_mail_is_never_sent_to_services_that_do_not_answer(run: Run, site: Path) -> None:
    done = run("setup", "postfix", "--postfix", str(site), "--apply")
    assert done.code == 1
    assert "systemctl enable --now" in done.err
    assert (site / "main.cf").read_text() == MAIN_CF


def test_an_unknown_part_and_flags_that_exclude_each_other_are_usage(run: Run) -> None:
    assert run("setup", "posfix").code == 2
    assert run("setup", "postfix", "--apply", "--undo").code == 2


@pytest.mark.integration
def test_what_was_never_set_up_is_not_taken_out(run: Run, site: Path) -> None:
    done = run("setup", "postfix", "--postfix", str(site), "--undo")
    assert done.code == 0
    assert "nothing was set up here" in done.out
    assert (site / "main.cf").read_text() == MAIN_CF
