"""With ``limits.mode = "observe"`` the log names the servers that must be exempted first."""

import subprocess
from pathlib import Path

from tests.policyd.daemon import configure, prepared, running

# As docs/operations.md prints it, after `journalctl -u gatepost-policyd -o cat --since -7d |`.
FIND = 'grep -o \'limit="client [^"]*" reason=would-refuse\' | sort | uniq -c | sort -rn'
LIMITS = '[limits]\nmode = "observe"\nclient = ["3/1h"]\nrecipients_per_message = 5\n'


def test_the_documented_command_finds_servers_that_would_be_refused(tmp_path: Path) -> None:
    url = prepared(f"sqlite:///{tmp_path}/gatepost.db")
    mails = {
        "192.0.2.10": 7,  # a list server
        "2001:db8:0:1::25": 5,  # a gateway
        "192.0.2.20": 3,  # a lab computer within its limit
        "198.51.100.1": 9,  # the world
    }
    with running(configure(tmp_path, url, LIMITS)) as daemon:
        for client, count in mails.items():
            for number in range(count):
                name = f"{client}.{number}"
                assert daemon.ask(client_address=client, instance=name) == "DUNNO"
        # What another rule or an account's limit would refuse exempts no server.
        assert daemon.ask(client_address="192.0.2.30", recipient_count=6) == "DUNNO"
        assert daemon.stop() == 0
    found = subprocess.run(
        ["sh", "-c", FIND], input=daemon.log, check=True, capture_output=True, text=True
    )
    assert [line.split() for line in found.stdout.splitlines()] == [
        ["4", 'limit="client', '192.0.2.10"', "reason=would-refuse"],
        ["2", 'limit="client', '2001:db8:0:1::/64"', "reason=would-refuse"],
    ]
