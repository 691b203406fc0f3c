"""Policy decisions a second, against a server that only parses and says DUNNO.

Full Postfix 3.7 requests, one outstanding per connection, the load in a process of
its own. Every value is the median of interleaved rounds of one run: compare ratios.
"""

import argparse
import contextlib
import json
import sqlite3
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench import policyd_peers, policyd_postfix
from bench.policyd_start import dunno, gatepost
from bench.table import Row, Table
from tests.stack import mariadb, postgres
from tests.stack.folder import temporary

CONNECTIONS = (1, 10, 50, 100)
CLIENTS = 1000  # distinct addresses that send at the same time
ROWS = 1_000_000
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
    state: str = "DATA"  # in which it charges


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
        folder = stack.enter_context(temporary("gatepost-bench-"))
        folder.chmod(0o711)
        cases = _cases(stack, folder)
        if options.peers:
            peers = policyd_peers.start(stack, folder)
            # policyd-rate-limit counts at RCPT, and lets all else pass.
            cases += [Case(name, where, 50, state="RCPT") for name, where in peers.items()]
        results = {case: Result() for case in cases}
        for _ in range(rounds):
            for case in cases:
                _measure(case, results[case], seconds)
    with temporary("gatepost-bench-") as path:
        path.chmod(0o711)
        messages = 1000 if options.quick else 5000
        mail = policyd_postfix.table(path, rounds=rounds, messages=messages)
    return [_table(results), mail]


def _cases(stack: contextlib.ExitStack, folder: Path) -> list[Case]:
    postgresql = stack.enter_context(postgres.running())
    mysql = stack.enter_context(mariadb.running())
    servers = {
        "SQLite FULL": f"sqlite:///{folder}/gatepost.db",
        "PostgreSQL": postgresql.url,
        "MariaDB": mysql.url,
    }
    cases = [Case("parses, says DUNNO", dunno(stack, folder), n) for n in CONNECTIONS]
    for name, url in servers.items():
        where = gatepost(stack, folder / name.partition(" ")[0], url, CHARGED)
        cases += [Case(f"gatepost, {name}", where, n) for n in CONNECTIONS]
    where = gatepost(stack, folder / "more", f"sqlite:///{folder}/more.db", CHARGED)
    cases.append(Case("gatepost, SQLite, client + account (3 windows)", where, 50, users=CLIENTS))
    where = gatepost(stack, folder / "full", f"sqlite:///{folder}/full.db", LIMITED)
    cases.append(Case("gatepost, SQLite, every client over its limit", where, 50))
    where = gatepost(stack, folder / "free", f"sqlite:///{folder}/free.db", CHARGED, exempt=True)
    cases.append(Case("gatepost, SQLite, whitelisted clients", where, 50))
    where = gatepost(stack, folder / "old", f"sqlite:///{folder}/old.db", CHARGED)
    _fill(folder / "old.db")
    cases.append(Case("gatepost, SQLite, 1,000,000 usage rows", where, 50))
    return cases


def _fill(database: Path) -> None:
    """Put a million windows in use into *database*, of other clients than the load's."""
    end = int(time.time()) + 3600
    slot = end // 60
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(
            "INSERT INTO usage (subject, span, slot, used, past, refused, until)"
            " VALUES (?, 3600, ?, 1, x'00000001', 0, ?)",
            ((f"client 2001:db8:{n >> 16:x}:{n & 65535:x}::/64", slot, end) for n in range(ROWS)),
        )


def _measure(case: Case, result: Result, seconds: float) -> None:
    numbers = (case.connections, seconds, case.clients, case.users, case.state)
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
