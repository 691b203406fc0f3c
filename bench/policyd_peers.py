"""The peers that Debian ships, each with a limit per client address that nobody reaches."""

import contextlib
import shutil
import subprocess
import time
from pathlib import Path

from bench.policyd_start import START_SECONDS, launch
from tests.stack.ports import HOST, free_ports
from tests.stack.probes import listens

INSTALL = "apt-get install --no-install-recommends postfwd policyd-rate-limit"
_RULE = "id=R1; action=rate(client_address/900000000/3600/450 4.7.1 over the limit)"
# Its shipped file, with a limit by address as ours and the database in our folder.
_RATE_LIMIT = """\
debug: False
user: "root"
group: "root"
pidfile: "{folder}/pid"
sqlite_config: {{ database: "{folder}/db.sqlite3" }}
backend: 0
SOCKET: ["127.0.0.1", {port}]
socket_permission: 0666
limits: [[900000000, 3600]]
limits_by_id: {{}}
limit_by_sasl: False
limit_by_sender: False
limit_by_ip: True
limited_networks: ["0.0.0.0/0"]
success_action: "dunno"
fail_action: "defer_if_permit Rate limit reach, retry later"
db_error_action: "dunno"
report: False
report_limits: [86400]
report_only_if_needed: True
delay_to_close: 300
count_mode: 1
"""


def start(stack: contextlib.ExitStack, folder: Path) -> dict[str, str]:
    """Start the peers; return their ports by name."""
    for program in ("postfwd2", "policyd-rate-limit"):
        if shutil.which(program) is None and not Path("/usr/sbin", program).exists():
            raise RuntimeError(f"{program} is not installed: {INSTALL}")
    first, cache, second = free_ports(3)
    _postfwd(stack, folder, first, cache)
    _rate_limit(stack, folder, second)
    return {"postfwd 2 (memory)": str(first), "policyd-rate-limit (SQLite)": str(second)}


def _postfwd(stack: contextlib.ExitStack, folder: Path, port: int, cache: int) -> None:
    pidfile = folder / "postfwd.pid"
    program = ["/usr/sbin/postfwd2", "--pidfile", str(pidfile)]
    command = [*program, "-d", "-i", HOST, "-p", str(port), "-c", "0", "-r", _RULE]
    command += ["--cache_port", str(cache), "--cache_interface", HOST, "--cache_proto", "tcp"]
    # It serves as a daemon only, and is ended by its own command.
    subprocess.run([*command, "-u", "nobody", "-g", "nogroup"], check=True)
    stack.callback(subprocess.run, [*program, "--kill"], check=False)
    until = time.monotonic() + START_SECONDS
    while not listens(port):
        if time.monotonic() > until:
            raise RuntimeError("postfwd2 did not start; see syslog")
        time.sleep(0.05)


def _rate_limit(stack: contextlib.ExitStack, folder: Path, port: int) -> None:
    home = folder / "rate-limit"
    home.mkdir()
    config = home / "policyd-rate-limit.yaml"
    config.write_text(_RATE_LIMIT.format(folder=home, port=port))
    command = ["/usr/bin/policyd-rate-limit", "-f", str(config)]
    launch(stack, command, folder / "rate-limit.log", lambda: listens(port))
