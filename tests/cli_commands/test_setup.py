"""`gatepost setup` shows its changes first, says why it cannot make them, and undoes them."""

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


@pytest.mark.system
def test_without_apply_the_change_is_only_shown(run: Run, site: Path) -> None:
    done = run("setup", "postfix", "--postfix", str(site))
    assert done.code == 0
    assert "+smtpd_data_restrictions = reject_unauth_pipelining, $gatepost_policy" in done.out
    assert "nothing was changed" in done.out
    assert (site / "main.cf").read_text() == MAIN_CF


@pytest.mark.system
def test_json_is_one_document(run: Run, site: Path) -> None:
    done = run("setup", "postfix", "--postfix", str(site), "--json")
    (result,) = done.document["parts"]
    assert result["part"] == "postfix"
    assert "$gatepost_policy" in result["diff"]
    assert result["is_done"] is False


@pytest.mark.integration  # changing anything requires root
def test_apply_stops_when_the_services_do_not_answer(run: Run, site: Path) -> None:
    done = run("setup", "postfix", "--postfix", str(site), "--apply")
    assert done.code == 1
    assert "systemctl enable --now" in done.err
    assert (site / "main.cf").read_text() == MAIN_CF


def test_an_unknown_part_and_conflicting_flags_are_usage_errors(run: Run) -> None:
    assert run("setup", "posfix").code == 2
    assert run("setup", "postfix", "--apply", "--undo").code == 2


@pytest.mark.integration
def test_undo_of_a_part_that_is_not_set_up_changes_nothing(run: Run, site: Path) -> None:
    done = run("setup", "postfix", "--postfix", str(site), "--undo")
    assert done.code == 0
    assert "not set up on this machine" in done.out
    assert (site / "main.cf").read_text() == MAIN_CF
