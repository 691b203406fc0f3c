"""What a site notices: messages a second through a real Postfix with a policy service."""

import contextlib
import os
import statistics
import subprocess
import time
from pathlib import Path

from bench.policyd_start import dunno, gatepost
from bench.table import Row, Table
from tests.policyd import dropping_proxy
from tests.stack import postgres
from tests.stack.ports import HOST

SESSIONS = 50
# The queues lie in memory: on one disk, Postfix's fsync for each message and policyd's
# wait for each other, and the disk is what is measured.
MEMORY = "/dev/shm"
OPEN = '["900000000/1h"]'


def table(folder: Path, *, rounds: int, messages: int) -> Table:
    """Measure 1 and 20 recipients a message; the reference always says DUNNO."""
    found: dict[tuple[str, int], list[float]] = {}
    with contextlib.ExitStack() as stack:
        ports = _ports(stack, folder)
        for port in ports.values():
            _send(port, messages // 4, 1)  # the first messages make smtpd processes and folders
        for _ in range(rounds):
            for recipients in (1, 20):
                for name, port in ports.items():
                    # Twenty recipients take about four times as long.
                    count = messages if recipients == 1 else messages // 4
                    rate = _send(port, count, recipients)
                    found.setdefault((name, recipients), []).append(rate)
    made = Table(
        "messages through real Postfix, 50 sessions", "the same Postfix asking a constant DUNNO"
    )
    for (name, recipients), rates in found.items():
        value = statistics.median(rates)
        reference = statistics.median(found["constant DUNNO", recipients])
        ratio = None if name == "constant DUNNO" else value / reference
        made.rows.append(Row(name, f"{recipients} recipients", value, "/s", ratio))
    return made


def _ports(stack: contextlib.ExitStack, folder: Path) -> dict[str, int]:
    database = stack.enter_context(postgres.running())
    services = {
        "constant DUNNO": dunno(stack, folder),
        "no policy service": None,
        "gatepost, SQLite FULL": gatepost(stack, folder / "s", f"sqlite:///{folder}/s.db", OPEN),
        "gatepost, PostgreSQL": gatepost(stack, folder / "p", database.url, OPEN),
    }
    ports = {}
    for name, where in services.items():
        if where is not None:
            os.chmod(where, 0o666)  # noqa: PTH101, S103 - smtpd is not in our group
        mta = dropping_proxy.running(f"unix:{where}" if where else None, parent=MEMORY)
        ports[name] = stack.enter_context(mta).port
    return ports


def _send(port: int, messages: int, recipients: int) -> float:
    start = time.perf_counter()
    subprocess.run(
        ["smtp-source", "-s", str(SESSIONS), "-m", str(messages), "-r", str(recipients),
         "-f", "lab@mail.example.edu", "-t", "r@elsewhere.example", f"{HOST}:{port}"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return messages / (time.perf_counter() - start)
