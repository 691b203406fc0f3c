"""Unexpected conditions: bugs, users without a name, terminals that echo."""

import os
import pty
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

import cli
from tests.cli_commands.conftest import Run


@pytest.mark.parametrize("debug", ["", "1"])
def test_a_bug_is_one_line_and_exits_with_70(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], debug: str
) -> None:
    monkeypatch.setitem(cli.COMMANDS, "broken", "app")  # a module without such a command
    monkeypatch.setenv("GATEPOST_DEBUG", debug)
    monkeypatch.setattr(sys, "argv", ["gatepost", "broken"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 70
    said = capsys.readouterr().err
    assert "gatepost: bug in gatepost, AttributeError" in said
    assert ("Traceback" in said) == bool(debug)
    assert debug or len(said.splitlines()) == 1


def test_a_user_id_without_a_name_is_audited_by_number(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {each.pw_uid for each in pwd.getpwall()}
    number = next(number for number in range(54321, 65000) if number not in taken)
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: number)
    run("whitelist", "add", "192.0.2.7", "--reason", "x")
    assert run("whitelist", "list", "--json").document[0]["who"] == f"uid {number} (cli)"


def passwd(folder: Path, *words: str, stdin: int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(Path(sys.executable).with_name("gatepost")), "--config",
         str(folder / "gatepost.toml"), "account", "passwd", "alice", *words],
        check=False, capture_output=True, text=True, stdin=stdin, start_new_session=True,
    )  # fmt: skip


def test_a_password_is_never_read_from_an_echoing_terminal(run: Run, folder: Path) -> None:
    run("account", "add", "alice", "--role", "staff")
    terminal, typed = pty.openpty()
    done = passwd(folder, "--password-stdin", stdin=typed)
    os.close(terminal)
    os.close(typed)
    assert done.returncode == 2
    assert "leave it out to be asked" in done.stderr


def test_without_a_terminal_password_stdin_is_suggested(run: Run, folder: Path) -> None:
    run("account", "add", "alice", "--role", "staff")
    done = passwd(folder, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert "no terminal" in done.stderr
    assert "--password-stdin" in done.stderr
    assert "Warning" not in done.stderr
