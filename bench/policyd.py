"""Policy decisions a second, against a server that only parses and says DUNNO.

Full Postfix 3.7 requests, one outstanding per connection, the load in a process of
its own. Every value is the median of interleaved rounds of one run: compare ratios.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.table import Row, Table
from store import schema, whitelist
from store.audit import Change
from store.engine import Store
from tests.stack import mariadb, postgres

CONNECTIONS = (1, 10, 50, 100)
CLIENTS = 1000  # distinct addresses that send at the same time
START_SECONDS = 20
# A limit nobody reaches, so that every decision is charged; and one everybody has reached.
CHARGED, LIMITED = '["900000000/1h"]', '["1/1h"]'


@dataclass(frozen=True, slots=True)
class Case:
    """A server to measure: a path or port, and the load it gets."""

    name: str
    where: str
    connections: int
    clients: int = CLIENTS
    users: int = 0


@dataclass(slots=True)
class Result:
    """The rounds of one case."""

    rates: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Decisions a second."""
        return statistics.median(self.rates)

    @property
    def p99(self) -> float:
        """Milliseconds that one in a hundred waits for longer."""
        return statistics.median(self.p99s)


def run(options: argparse.Namespace) -> list[Table]:
    """Measure all."""
    rounds, seconds = (1, 2.0) if options.quick else (3, 4.0)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatepost-bench-")))
        folder.chmod(0o711)
        cases = _cases(stack, folder)
        results = {case: Result() for case in cases}
        for _ in range(rounds):
            for case in cases:
                _measure(case, results[case], seconds)
    return [_table(results)]


def _cases(stack: contextlib.ExitStack, folder: Path) -> list[Case]:
    dunno = folder / "dunno.sock"
    _start(stack, [sys.executable, "-m", "bench.policyd_dunno", str(dunno)], folder, dunno)
    sqlite = f"sqlite:///{folder}/gatepost.db"
    servers = {"SQLite FULL": sqlite}
    for name, server in (("PostgreSQL", postgres), ("MariaDB", mariadb)):
        running = stack.enter_context(server.running())
        servers[name] = running.url
    cases = [Case("parses, says DUNNO", str(dunno), n) for n in CONNECTIONS]
    for name, url in servers.items():
        where = gatepost(stack, folder / name.partition(" ")[0], url, CHARGED)
        cases += [Case(f"gatepost, {name}", where, n) for n in CONNECTIONS]
    where = gatepost(stack, folder / "more", f"sqlite:///{folder}/more.db", CHARGED)
    cases.append(Case("gatepost, SQLite, client + account (3 windows)", where, 50, users=CLIENTS))
    where = gatepost(stack, folder / "full", f"sqlite:///{folder}/full.db", LIMITED)
    cases.append(Case("gatepost, SQLite, every client over its limit", where, 50))
    where = gatepost(stack, folder / "free", f"sqlite:///{folder}/free.db", CHARGED, exempt=True)
    cases.append(Case("gatepost, SQLite, whitelisted clients", where, 50))
    return cases


def gatepost(
    stack: contextlib.ExitStack, folder: Path, url: str, limit: str, *, exempt: bool = False
) -> str:
    """Start a policyd with its own folder; return its socket."""
    folder.mkdir()
    store = Store(url)
    schema.upgrade(store)
    if exempt:
        whitelist.add(store, "10.0.0.0/8", seconds=None, change=Change("bench", "a benchmark"))
    store.close()
    config, socket = folder / "gatepost.toml", folder / "policy.sock"
    config.write_text(
        f'[site]\ndomains = ["mail.example.edu"]\n[store]\nurl = "{url}"\n'
        f'[policyd]\nlisten = ["unix:{socket}"]\n[limits]\nclient = {limit}\n'
        '[roles.staff]\nsend = ["900000000/1h", "900000000/1d"]\n'
    )
    command = [sys.executable, "-I", "-m", "policyd", "--config", str(config)]
    _start(stack, command, folder, socket)
    return str(socket)


def _start(
    stack: contextlib.ExitStack, command: list[str], folder: Path, socket: Path
) -> "subprocess.Popen[bytes]":
    log = stack.enter_context((folder / "log").open("wb"))
    process = subprocess.Popen(command, stderr=log)
    stack.callback(process.wait)
    stack.callback(process.kill)
    until = time.monotonic() + START_SECONDS
    while not socket.exists():
        if time.monotonic() > until or process.poll() is not None:
            raise RuntimeError(f"{command} did not start: {(folder / 'log').read_text()}")
        time.sleep(0.05)
    return process


def _measure(case: Case, result: Result, seconds: float) -> None:
    numbers = (case.connections, seconds, case.clients, case.users)
    command = [sys.executable, "-m", "bench.policyd_load", case.where, *map(str, numbers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{case}: {done.stderr}")
    score = json.loads(done.stdout)
    result.rates.append(score["decisions"] / score["seconds"])
    result.p99s.append(score["p99"])


def _table(results: dict[Case, Result]) -> Table:
    reference = {
        case.connections: result.rate
        for case, result in results.items()
        if case.name.startswith("parses")
    }
    table = Table("policy decisions", "an asyncio server that only parses and answers DUNNO")
    for case, result in results.items():
        ratio = None
        if not case.name.startswith("parses"):
            ratio = result.rate / reference[case.connections]
        note = f"p99 {result.p99:.1f} ms"
        table.rows.append(
            Row(case.name, f"{case.connections} connections", result.rate, "/s", ratio, note)
        )
    return table
