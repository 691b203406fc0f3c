"""The shipped Sieve script files tagged mail, and only that, into Junk."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.dovecot_release import release
from tests.stack.folder import create
from tests.stack.shipped import ETC

pytestmark = pytest.mark.integration
# How a private Dovecot finds mailboxes, in the syntax of each release.
MAIL = {
    "2.3": "mail_location = maildir:{folder}/m\n",
    "2.4": (
        "dovecot_config_version = 2.4.1\ndovecot_storage_version = 2.4.1\n"
        "mail_driver = maildir\nmail_path = {folder}/m\n"
    ),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    made = create("gatepost-sieve-")
    made.chmod(0o777)  # sieve-test becomes mail_uid
    (made / "dovecot.conf").write_text(
        f"{MAIL[release()].format(folder=made)}"
        f"mail_uid = 5000\nmail_gid = 5000\nmail_home = {made}\n"
    )
    shutil.copy(ETC / f"dovecot-{release()}/spam-to-junk.sieve", made / "script.sieve")
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize(
    ("header", "junk"),
    [
        ("X-Spam-Flag: YES", True),
        ("X-Spam-Flag: yes", True),
        ("X-Spam-Flag: NO\nX-Spam-Flag: YES", True),  # no value keeps a mail out of Junk
        ("X-Spam-Flag: NO", False),
        ("X-Spam-Status: No, score=0.1", False),
        ("X-Other: ***SPAM***", False),
    ],
)
def test_tagged_mail_goes_to_junk(folder: Path, header: str, junk: bool) -> None:
    program = shutil.which("sieve-test")
    assert program, "sieve-test is missing: apt-get install dovecot-sieve"
    mail = folder / "mail.eml"
    mail.write_text(f"{header}\nSubject: ***SPAM*** offer\n\nhello\n")
    command = [program, "-c", f"{folder}/dovecot.conf", f"{folder}/script.sieve", str(mail)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert ("store message in folder: Junk" in done.stdout) is junk


def test_the_lines_that_the_script_asks_for_are_dovecots(folder: Path) -> None:
    conf = folder / "dovecot.conf"
    comment = (folder / "script.sieve").read_text().splitlines()
    lines = [line.removeprefix("#") for line in comment if line.startswith("#     ")]
    conf.write_text(conf.read_text() + "\n".join(lines) + "\n")
    program = shutil.which("doveconf")
    assert program, "doveconf is missing: apt-get install dovecot-core"
    command = [program, "-n", "-c", str(conf)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert "/etc/dovecot/sieve/spam-to-junk.sieve" in done.stdout
