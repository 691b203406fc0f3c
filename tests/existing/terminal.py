"""What an operator does at the machine: the commands of the page, and programs of these tests."""

import json
import subprocess
import sys
import time
from collections.abc import Callable

from tests.existing import page
from tests.existing.machine import REPOSITORY, Machine

TRIAL_SECONDS = 600
SITE = "bash /usr/src/gatepost/tests/existing/site.sh"
SETTINGS = "/etc/gatepost/gatepost.toml"
# The operator's edit of gatepost.toml.
EDIT = f"sed -i 's/mail\\.example\\.edu/example.edu/g' {SETTINGS}"


def follow(
    machine: Machine, section: str, *, after: Callable[[str], None] = lambda _: None
) -> float:
    """Run the commands of *section*, each followed by a call of *after*.

    Returns the seconds that the commands took.
    """
    total = 0.0
    for line in page.commands(section):
        began = time.monotonic()
        answered = line.replace("auth test anna", "auth test anna 'old site password'")
        machine.run(answered, seconds=TRIAL_SECONDS)
        took = time.monotonic() - began
        print(f"{took:5.1f} s  {line}")
        total += took
        after(line)
    return total


def observe(machine: Machine, tag: str) -> dict[str, str]:
    """Return what `things` observes, from inside the machine's network."""
    seen: dict[str, str] = json.loads(inside(machine, "tests.existing.things", tag))
    return seen


def inside(machine: Machine, module: str, *words: str) -> str:
    """Run *module* of these tests in the machine's network, and return its output."""
    done = subprocess.run(
        command(machine, module, *words),
        check=False, capture_output=True, text=True, timeout=TRIAL_SECONDS, cwd=REPOSITORY,
    )  # fmt: skip
    log = machine.try_run("journalctl --no-pager -n 60 -o cat").text if done.returncode else ""
    assert done.returncode == 0, f"{done.stderr}\n{log}"
    return done.stdout


def command(machine: Machine, module: str, *words: str) -> list[str]:
    """Return the command that runs *module* of these tests in the machine's network."""
    return ["nsenter", "-t", str(machine.leader), "-n", sys.executable, "-m", module,
            str(machine.leader), machine.release, *words]  # fmt: skip
