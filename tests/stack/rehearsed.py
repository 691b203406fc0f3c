"""What people meet on the installation that docs/operations.md leads to.

Runs inside the rehearsal (tests/integration/test_operations.py), on the real ports.
"""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.stack import messages, tls
from tests.stack.clients import Clients, Login, LoginRefused
from tests.stack.dovecot_release import release
from tests.stack.layout import Ports

PORTS = Ports(
    smtp=25, submission=587, submissions=465, imap=143, imaps=993, pop3=110, pop3s=995,
    spamd=783, policyd=10040, portal=10043,
)  # fmt: skip
ALICE = Login("alice", "correct horse battery")
CAROL = Login("carol", "correct horse battery")
DOMAIN = "mail.example.edu"


def main() -> int:
    """Try everything; an assertion that fails ends the rehearsal."""
    clients = Clients(PORTS, tls.client(Path("/etc/ssl/site.crt")))
    passwords(clients)
    mail(clients)
    os.kill(int(Path("/run/units/gatepost-authd").read_text()), signal.SIGKILL)
    if release() == "2.3":
        passwords(clients)  # Dovecot's user may read what it needs to check by itself
    else:  # Dovecot 2.4, whose Lua can only ask authd
        with pytest.raises(LoginRefused, match="UNAVAILABLE"):
            clients.imap(ALICE)
    print("rehearsed")
    return 0


def passwords(clients: Clients) -> None:
    """The right one opens every door, with the role's quota; a wrong one is called wrong."""
    with clients.imap(ALICE) as mailbox:
        assert mailbox.quota()[1] == 5120 * 1024
    assert clients.pop3(ALICE).startswith("+OK")
    assert clients.sign_in(ALICE).code == 235
    with pytest.raises(LoginRefused, match="AUTHENTICATIONFAILED"):
        clients.imap(Login("alice", "wrong horse battery"))


def mail(clients: Clients) -> None:
    """Mail arrives, spam arrives marked, and what is too big for alumni is refused."""
    answer = clients.submit(ALICE, messages.plain("lecture"), to=[f"carol@{DOMAIN}"])
    assert answer.accepted, answer
    assert clients.deliver(messages.spam("watches"), to=[f"carol@{DOMAIN}"]).accepted
    with clients.imap(CAROL) as mailbox:
        mailbox.wait_for("lecture")
        assert mailbox.wait_for("watches")["Subject"] == "***SPAM*** watches"
    for size in (12 << 20, (10 << 20) + 1):  # refused by policyd at RCPT, by the milter at the end
        answer = clients.deliver(messages.attached("pictures", size), to=[f"carol@{DOMAIN}"])
        assert answer.code == 552, answer


if __name__ == "__main__":
    sys.exit(main())
