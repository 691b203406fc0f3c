"""The shipped warnings, on a server of their own: they add mail to mailboxes (R8)."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import messages, shipped
from tests.stack.dovecot_release import release
from tests.stack.messages import MIB
from tests.stack.stack import Stack

SNIPPET = "gatepost-quota-warning.conf"
HELPDESK = "helpdesk@mail.example.edu"


@pytest.fixture
def warning() -> Iterator[Stack]:
    stack = Stack(settings={"site": {"postmaster": HELPDESK}})
    folder, dovecot = f"dovecot-{release()}", stack.layout.root / "dovecot"
    script = stack.layout.root / "lib/quota-warning"
    gatepost = f"{Path(sys.executable).with_name('gatepost')} --config {stack.layout.settings}"
    private = {
        "dovecot-lda -d": f"dovecot-lda -c {dovecot}/dovecot.conf -d",
        "/opt/gatepost/venv/bin/gatepost": gatepost,
    }
    script.write_text(shipped.text(f"{folder}/quota-warning", private))
    script.chmod(0o755)
    text = shipped.text(f"{folder}/{SNIPPET}", {"/opt/gatepost/quota-warning": str(script)})
    (dovecot / "conf.d" / SNIPPET).write_text(text)
    with stack:
        yield stack


def test_the_owner_is_told_at_80_and_95_percent(warning: Stack) -> None:
    person = warning.add_account("alumni", "o'hara")  # 50 MiB
    # In the mailbox 1.37 times that: 74 %, then 82 %, then 96 %.
    for number, size in enumerate((9 * MIB, 9 * MIB, 9 * MIB, 3 * MIB, 5 * MIB)):
        message = messages.attached(f"big{number}.", size)
        assert warning.clients.deliver(message, to=[person.address]).accepted
        with warning.clients.imap(person.login) as mailbox:
            mailbox.wait_for(f"big{number}.")
            if number == 3:
                mailbox.wait_for("80 % full")
    with warning.clients.imap(person.login) as mailbox:
        told = mailbox.wait_for("95 % full")
    assert "empty the trash" in told.as_string()
    assert told["From"] == f"Postmaster <{HELPDESK}>"
    assert told["Auto-Submitted"] == "auto-generated"
