"""The shipped Sieve script files tagged mail, and only that, into Junk."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.shipped import CONFIG

pytestmark = pytest.mark.integration
SCRIPT = CONFIG / "dovecot-2.3/spam-to-junk.sieve"


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="gatepost-sieve-", dir="/var/tmp"))
    made.chmod(0o777)  # sieve-test becomes mail_uid
    (made / "dovecot.conf").write_text(
        f"mail_uid = 5000\nmail_gid = 5000\nmail_home = {made}\nmail_location = maildir:{made}/m\n"
    )
    shutil.copy(SCRIPT, made / "script.sieve")
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize(
    ("header", "junk"),
    [
        ("X-Spam-Flag: YES", True),
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
