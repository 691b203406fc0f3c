"""The last edge of the command line: what nobody foresaw."""

import os
import pwd
import sys

import pytest

import cli
from tests.cli.conftest import Run


@pytest.mark.parametrize("debug", ["", "1"])
def test_a_fault_of_ours_is_one_line_and_70_never_a_no(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], debug: str
) -> None:
    monkeypatch.setitem(cli.COMMANDS, "broken", "app")  # a module without such a command
    monkeypatch.setenv("GATEPOST_DEBUG", debug)
    monkeypatch.setattr(sys, "argv", ["gatepost", "broken"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 70
    said = capsys.readouterr().err
    assert "gatepost: a fault of gatepost, AttributeError" in said
    assert ("Traceback" in said) == bool(debug)
    assert debug or len(said.splitlines()) == 1


def test_a_user_without_a_name_may_change_things(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {each.pw_uid for each in pwd.getpwall()}
    number = next(number for number in range(54321, 65000) if number not in taken)
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: number)
    run("whitelist", "add", "192.0.2.7", "--reason", "x")
    assert run("whitelist", "list", "--json").document[0]["who"] == f"uid {number} (cli)"
