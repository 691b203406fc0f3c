"""The login script as the wheel installs it: what it imports, and its old place."""

import os
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from dovecot_auth.checkpassword.protocol import MISUSED
from tests.dovecot_auth.site import PACKAGE, SCRIPT, with_descriptor

BARE = ("/usr/bin/python3", "-IS", "-X", "importtime")
# All that a login with authd may import beyond what the bare interpreter has.
IMPORTED = {
    "dovecot_auth.checkpassword.client",
    "dovecot_auth.checkpassword.protocol",
    "_socket",
}
NEW, OLD = "dovecot_auth/checkpassword/script.py", "dovecot_auth/checkpassword.py"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files of the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(PACKAGE.parent)).build(directory=str(folder))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def imported(script: Path) -> set[str]:
    """Return the modules that *script* imports (-X importtime)."""
    shown = subprocess.run([*BARE, script], check=False, capture_output=True, text=True).stderr
    lines = [line for line in shown.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines[1:]}


def run(script: Path, arguments: Sequence[str] = ()) -> "subprocess.CompletedProcess[bytes]":
    return with_descriptor([*BARE[:2], str(script), *arguments], b"alice\0\0\0", env={})


def test_a_login_imports_two_files_and_nothing_that_costs_milliseconds(tmp_path: Path) -> None:
    assert SCRIPT.read_text().startswith("#!/usr/bin/python3 -IS\n")
    assert os.access(SCRIPT, os.X_OK)
    (tmp_path / "empty.py").touch()
    assert imported(SCRIPT) - imported(tmp_path / "empty.py") == IMPORTED


@pytest.mark.parametrize("place", [NEW, OLD])
@pytest.mark.parametrize("link", ["", "absolute", "relative"])
def test_the_script_runs_from_its_new_and_its_old_place(
    installed: Path, tmp_path: Path, place: str, link: str
) -> None:
    script = installed / place
    if link:
        target, script = script, tmp_path / "checkpassword"
        script.symlink_to(os.path.relpath(target, tmp_path) if link == "relative" else target)
    refused = run(script, ["/nonexistent"])
    assert (refused.returncode, refused.stderr) == (1, b"")  # no account has an empty password
    misused = run(script)
    assert misused.returncode == MISUSED
    assert b"checkpassword: ProtocolError: no program to run" in misused.stderr


def test_both_places_hold_the_same_script_and_neither_hides_the_package(installed: Path) -> None:
    assert (installed / NEW).read_bytes() == (installed / OLD).read_bytes() == SCRIPT.read_bytes()
    show = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "from dovecot_auth import checkpassword; print(checkpassword.__file__)"
    )
    shown = subprocess.run(
        ["/usr/bin/python3", "-IS", "-c", show],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    assert shown == str((installed / NEW).with_name("__init__.py"))
