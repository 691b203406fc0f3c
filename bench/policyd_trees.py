"""What a change costs: policyd of another working tree beside this one's, in turns.

``python -m bench.policyd_trees OTHER [ROUNDS]``, where OTHER has a ``.venv`` of its own. All
servers of both trees stay up; each round asks each of them once, and every other round begins
with this tree. A figure is the median of the rounds' ratios, this tree's rate to the other's:
the machine's moods fall on both.
"""

import statistics
import subprocess
import sys
from pathlib import Path

ROUNDS = 7
HERE = Path(__file__).resolve().parent.parent
# Runs in either tree, so it uses only what both have.
SERVE = """
import contextlib, json, os, subprocess, sys, tempfile
from pathlib import Path
from bench import policyd_postfix
from bench.policyd_start import gatepost
from tests.policyd import dropping_proxy
from tests.stack import mariadb, postgres
with contextlib.ExitStack() as stack:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatepost-bench-")))
    folder.chmod(0o711)
    urls = {
        "SQLite": f"sqlite:///{folder}/s.db",
        "PostgreSQL": stack.enter_context(postgres.running()).url,
        "MariaDB": stack.enter_context(mariadb.running()).url,
    }
    sockets, ports = {}, {}
    for name, url in urls.items():
        sockets[name] = gatepost(stack, folder / name, url, policyd_postfix.OPEN)
        os.chmod(sockets[name], 0o666)
        mta = dropping_proxy.running("unix:" + sockets[name], parent=policyd_postfix.MEMORY)
        ports[name] = stack.enter_context(mta).port
    print("ready", flush=True)
    for line in sys.stdin:
        name, what = line.split()
        if what == "direct":
            load = [sys.executable, "-m", "bench.policyd_load", sockets[name]]
            said = subprocess.run([*load, "50", "3", "1000", "0", "DATA"], capture_output=True)
            score = json.loads(said.stdout)
            rate = score["decisions"] / score["seconds"]
        else:
            count = int(what)
            rate = policyd_postfix._send(ports[name], 5000 if count == 1 else 1200, count)
        print(rate, flush=True)
"""
CASES = [
    (name, what) for name in ("SQLite", "PostgreSQL", "MariaDB") for what in ("1", "20", "direct")
]


class Tree:
    """The servers of one working tree."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [str(folder / ".venv/bin/python"), "-c", SERVE],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._said()

    def rate(self, name: str, what: str) -> float:
        """Return what one round gave."""
        assert self._process.stdin
        self._process.stdin.write(f"{name} {what}\n")
        self._process.stdin.flush()
        return float(self._said())

    def stop(self) -> None:
        """Stop the servers."""
        self._process.communicate()

    def _said(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the servers of a tree have ended; see above")
        return line


def main() -> None:
    """Measure and print a table for docs/performance.md."""
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS
    other, here = Tree(Path(sys.argv[1])), Tree(HERE)
    ratios: dict[tuple[str, str], list[float]] = {case: [] for case in CASES}
    for case in CASES:  # the first messages make processes and folders
        other.rate(*case), here.rate(*case)
    for number in range(rounds):
        for case in CASES:
            if number % 2:
                mine, theirs = here.rate(*case), other.rate(*case)
            else:
                theirs, mine = other.rate(*case), here.rate(*case)
            ratios[case].append(mine / theirs)
            print(number, *case, f"{mine:.0f} {theirs:.0f}", file=sys.stderr, flush=True)
    for (name, what), found in ratios.items():
        low, high = min(found), max(found)
        print(f"| {name}, {what} | {statistics.median(found):.2f} | {low:.2f} to {high:.2f} |")
    other.stop()
    here.stop()


if __name__ == "__main__":
    main()
