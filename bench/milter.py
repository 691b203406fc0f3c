"""Messages/s through a real Postfix: what each milter costs.

Every mail is one base64 attachment; Postfix takes it, asks the milter, and throws
it away. Rounds are interleaved and a ratio is the median of the rounds' ratios
against the same round's Postfix without a milter: the machine's moods fall on all.
Every other round goes backwards: spamd ends children that rest, and who asks first
after a rest waits for new ones.
"""

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from bench.milter_postfix import SPAMC_MAX, Way, message, send, ways
from bench.table import Row, Table
from tests.stack.folder import temporary

NONE = "no milter"
SCANNING = ("gatepost + spamd", "spamass-milter")
WAYS = [NONE, "empty pymilter", "gatepost", "gatepost, TCP", *SCANNING]
RIVALS = {
    "gatepost": "empty pymilter",
    "gatepost, TCP": "gatepost",
    "gatepost + spamd": "spamass-milter",
}
ROUNDS = 3
KB, MB = 1000, 1000 * 1000


@dataclass(frozen=True, slots=True)
class Case:
    """One size of mail and how many to send: *scanned* to the slow ways with SpamAssassin."""

    name: str
    size: int
    count: int
    scanned: int


# A round takes a second or two; SpamAssassin needs 0.1 s a mail and more. Each session
# sends one mail at least, so with many sessions more are sent.
CASES = (
    Case("5 KB", 5 * KB, 600, 200),
    Case("1 MB", MB, 100, 50),
    Case("50 MB", 50 * MB, 6, 3),
)
QUICK = (Case("5 KB", 5 * KB, 200, 40), Case("1 MB", MB, 30, 5))


def run(options: argparse.Namespace) -> list[Table]:
    """Measure each way with each size of mail and number of sessions."""
    table = Table("Milters through Postfix", f"the same Postfix with {NONE}, same round")
    every, cases = ((1, 10), QUICK) if options.quick else ((1, 10, 50), CASES)
    with temporary("gatepost-bench-") as folder, ways(WAYS) as found:
        for case in cases:
            mail = message(folder / f"{case.size}", case.size)
            for sessions in every:
                table.rows += _measure(found, case, mail, sessions)
    return [table]


def _measure(found: dict[str, Way], case: Case, mail: Path, sessions: int) -> list[Row]:
    rates: dict[str, list[float]] = {name: [] for name in found}
    for number in range(ROUNDS):
        for name, way in list(found.items())[:: -1 if number % 2 else 1]:
            count = case.scanned if name in SCANNING else case.count
            rates[name].append(_rate(way, mail, sessions, max(count, sessions)))
    label = f"{case.name}, {sessions} session{'s' if sessions > 1 else ''}"
    return [
        Row(
            name, label, statistics.median(rates[name]), "mails/s",
            None if name == NONE else _ratio(rates[name], rates[NONE]),
            _note(name, case, rates),
        )
        for name in found
    ]  # fmt: skip


def _note(name: str, case: Case, rates: dict[str, list[float]]) -> str:
    """Return the ratio that the issue asks for, where this row has one."""
    if name in SCANNING and case.size > SPAMC_MAX:
        return "scans nothing (spamc -s)" if name == "spamass-milter" else "scans 512 KiB"
    rival = RIVALS.get(name)
    return f"{_ratio(rates[name], rates[rival]):.2f} of {rival}" if rival else ""


def _ratio(values: list[float], references: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(values, references, strict=True))


def _rate(way: Way, mail: Path, sessions: int, count: int) -> float:
    start = time.perf_counter()
    send(way, mail, sessions=sessions, count=count)
    return count / (time.perf_counter() - start)
