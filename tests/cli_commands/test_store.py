"""The command line on a store that is missing, closed, empty, old or too new."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli_commands.conftest import Run

NOBODY = 65534


@pytest.mark.parametrize("words", [("account", "list"), ("limit", "show"), ("maintain",)])
def test_only_upgrade_creates_the_store(empty: Run, folder: Path, words: tuple[str, ...]) -> None:
    done = empty(*words)
    assert done.code == 69
    assert f"{folder}/gatepost.db: no such file; `gatepost db upgrade` makes it" in done.err
    assert not (folder / "gatepost.db").exists()


def test_an_empty_file_has_no_tables_yet(empty: Run, folder: Path) -> None:
    (folder / "gatepost.db").touch()
    done = empty("whitelist", "list")
    assert done.code == 69
    assert "no tables yet: run `gatepost db upgrade`" in done.err
    assert empty("db", "upgrade").code == 0


@pytest.mark.parametrize("words", [("account", "list"), ("db", "upgrade")])
def test_the_store_of_a_newer_release_exits_with_69(
    run: Run, folder: Path, words: tuple[str, ...]
) -> None:
    with sqlite3.connect(folder / "gatepost.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    done = run(*words)
    assert done.code == 69
    assert "newer release" in done.err


@pytest.mark.integration  # root, to become another user
def test_an_unwritable_store_names_the_expected_owner(run: Run, folder: Path) -> None:
    assert run("config", "check").code == 0
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid() and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    (folder / "gatepost.toml").chmod(0o644)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("gatepost")), "--config",
         str(folder / "gatepost.toml"), "whitelist", "list"],
        check=False, capture_output=True, text=True, user=NOBODY, group=NOBODY, extra_groups=[],
    )  # fmt: skip
    assert done.returncode == 69
    assert "gatepost.db" in done.stderr
    assert "root:gatepost 0660" in done.stderr
