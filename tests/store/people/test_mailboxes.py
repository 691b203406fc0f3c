"""The size of an account's mail, measured by its files."""

import os
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from store.people import mailboxes
from tests.conftest import settings_for


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    (tmp_path / "vmail").mkdir()
    return tmp_path / "vmail"


@pytest.fixture
def here(homes: Path) -> Settings:
    site = {"domains": ["mail.example.edu"], "mail_home": f"{homes}/{{name}}"}
    return settings_for("sqlite:////nowhere", site=site)


def maildir(folder: Path) -> Path:
    for name in ("cur", "new", "tmp"):
        (folder / name).mkdir(parents=True)
    return folder


def test_mail_is_measured_by_file_names(homes: Path, here: Settings) -> None:
    inbox = maildir(homes / "alice/Maildir")
    (inbox / "cur/1.host,S=1000,W=1020:2,S").write_bytes(b"x")
    (maildir(inbox / ".Trash") / "new/2.host").write_bytes(b"x" * 70)
    (inbox / "tmp/3.host").write_bytes(b"x" * 500)
    (inbox / "dovecot.index").write_bytes(b"x" * 500)
    assert mailboxes.measure(here, "alice") == 1070


def test_an_account_that_never_received_mail_has_none(homes: Path, here: Settings) -> None:
    assert mailboxes.measure(here, "alice") == 0
    maildir(homes / "bob/Maildir")
    assert mailboxes.measure(here, "bob") == 0


def test_homes_on_another_machine_are_not_measured_here(homes: Path, here: Settings) -> None:
    homes.rmdir()
    assert mailboxes.measure(here, "alice") is None


@pytest.mark.parametrize(
    "path", ["mdbox/storage/m.1", "sdbox/mailboxes/new/dbox-Mails/u.1", "sieve/x", "Maildir/cur/1"]
)
def test_mail_in_another_format_is_unknown_not_empty(
    homes: Path, here: Settings, path: str
) -> None:
    file = homes / "alice" / path
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x" * 500)
    assert mailboxes.measure(here, "alice") is None


def test_a_file_that_vanishes_while_being_measured_is_skipped(
    homes: Path, here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = maildir(homes / "alice")
    (inbox / "cur/1.host,S=1000").touch()
    (inbox / "cur/2.host").write_bytes(b"x" * 70)
    (maildir(inbox / ".Old") / "cur/3.host,S=5").touch()
    real = os.scandir

    def while_people_delete(path: Any) -> Any:
        if not isinstance(path, Path) or path.name != "cur":
            return real(path)
        found = list(real(path))
        (path / "2.host").unlink(missing_ok=True)
        if path.parent.name == ".Old":
            (path.parent / "new").rmdir()
        return found

    monkeypatch.setattr(os, "scandir", while_people_delete)
    assert mailboxes.measure(here, "alice") == 1005


def test_an_unreadable_mailbox_is_not_measured(homes: Path, here: Settings) -> None:
    (maildir(homes / "alice") / "cur").rmdir()
    (homes / "alice/cur").symlink_to("cur")  # a loop
    (homes / "alice/sub").mkdir()
    assert mailboxes.measure(here, "alice") is None
