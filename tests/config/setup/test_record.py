"""Undo restores a file exactly if it is unchanged since, and keeps later edits otherwise."""

from dataclasses import replace
from pathlib import Path

import pytest

from config.setup import files
from config.setup.files import change_to, link_to
from config.setup.record import Record


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "etc/main.cf"
    path.parent.mkdir()
    path.write_bytes(b"caf\xe9 = 1\n")
    path.chmod(0o640)
    return path


def apply(folder: Path, *changes: files.Change) -> Record:
    """Make *changes* as the command does, and return the record."""
    record = Record.load("part", folder)
    record.add(changes)
    record.save(folder)
    files.write(changes)
    return Record.load("part", folder)


def undo(record: Record) -> list[Path]:
    changes, edited = record.undo(lambda _path, text: text.replace("ours\n", ""))
    files.write(changes)
    return edited


def test_undo_restores_bytes_and_mode_of_an_unchanged_file(old: Path, tmp_path: Path) -> None:
    apply(tmp_path / "record", change_to(old, "theirs\nours\n"))
    assert old.stat().st_mode & 0o777 == 0o640
    assert undo(apply(tmp_path / "record", change_to(old, "theirs\nours, renewed\n"))) == []
    assert old.read_bytes() == b"caf\xe9 = 1\n"


def test_undo_removes_only_gateposts_part_of_an_edited_file(old: Path, tmp_path: Path) -> None:
    record = apply(tmp_path / "record", change_to(old, "theirs\nours\n"))
    old.write_text("theirs, edited\nours\n")
    assert undo(record) == [old]
    assert old.read_text() == "theirs, edited\n"


def test_an_edit_between_two_runs_is_kept(old: Path, tmp_path: Path) -> None:
    apply(tmp_path / "record", change_to(old, "theirs\nours\n"))
    old.write_text("theirs, edited\nours\n")
    record = apply(tmp_path / "record", change_to(old, "theirs, edited\nours\nours\n"))
    assert undo(record) == [old]
    assert old.read_text() == "theirs, edited\n"


def test_undo_removes_a_file_of_gateposts_that_was_there_before(old: Path, tmp_path: Path) -> None:
    renewed = replace(change_to(old, "ours, renewed\n"), is_gateposts=True)
    assert undo(apply(tmp_path / "record", renewed)) == []
    assert not old.exists()


def test_undo_removes_a_file_of_gateposts_that_was_right_already(tmp_path: Path) -> None:
    path = tmp_path / "unit"
    path.write_text("ours\n")
    same = replace(change_to(path, "ours\n"), is_gateposts=True)
    assert undo(apply(tmp_path / "record", same)) == []
    assert not path.exists()


def test_undo_removes_the_files_that_setup_created(tmp_path: Path) -> None:
    new, link = tmp_path / "a/b/new.conf", tmp_path / "a/link"
    changes = [change_to(new, "ours\n"), link_to(link, "b/new.conf")]
    record = apply(tmp_path / "record", *changes)
    assert link.read_text() == "ours\n"
    assert undo(record) == []
    assert not new.exists()
    assert not link.is_symlink()


def test_undo_leaves_a_removed_file_removed(tmp_path: Path) -> None:
    new = tmp_path / "new.conf"
    record = apply(tmp_path / "record", change_to(new, "ours\n"))
    new.unlink()
    assert undo(record) == []
    assert not new.exists()


def test_a_configuration_file_that_is_a_link_stays_one(old: Path, tmp_path: Path) -> None:
    link = tmp_path / "main.cf"
    link.symlink_to(old)
    apply(tmp_path / "record", change_to(link, "new\n"))
    assert link.is_symlink()
    assert old.read_text() == "new\n"


def test_the_record_is_readable_by_root_only(old: Path, tmp_path: Path) -> None:
    apply(tmp_path / "record", change_to(old, "new\n"))
    assert (tmp_path / "record").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "record/part.json").stat().st_mode & 0o777 == 0o600


def test_the_diff_shows_changed_and_new_files_and_links(old: Path, tmp_path: Path) -> None:
    changes = [
        change_to(old, "caf\udce9 = 2\n"),
        change_to(tmp_path / "new", "x\n"),
        link_to(tmp_path / "l", "t"),
    ]
    shown = files.diff(changes)
    assert f"--- {old}\n+++ {old}\n" in shown
    assert f"--- /dev/null\n+++ {tmp_path}/new\n" in shown
    assert f"make link {tmp_path}/l -> t\n" in shown
