"""Check 8: a real policyd while the clock is set forward, back and through summer time."""

import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.policyd.daemon import Daemon, configure, prepared, running

pytestmark = pytest.mark.integration
LIMIT, HOUR = 10, 3600
# A window is remembered for one sixtieth more; a clock is behind by a tick at most.
BLOCKED = HOUR + 2 * HOUR // 60 + 5
ZONE = ZoneInfo("Europe/Berlin")
_clients = (f"192.0.2.{n}" for n in itertools.count(1))
_instances = itertools.count()


def library() -> str:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert found, "libfaketime is missing: apt-get install libfaketime"
    return str(found[0])


@dataclass
class Machine:
    """A daemon, and the clock of the machine that it believes to be on."""

    daemon: Daemon
    file: Path
    ahead: int = 0

    def step(self, seconds: int) -> None:
        """Set the clock forward or back."""
        self.ahead += seconds
        new = self.file.with_suffix(".new")
        new.write_text(f"{self.ahead:+d}\n")
        new.rename(self.file)

    def be(self, when: datetime) -> None:
        """Set the clock to *when*."""
        self.step(round(when.timestamp() - time.time()) - self.ahead)

    def fill(self, client: str) -> int:
        """Send mail to one until refused; return how many went out."""
        for sent in range(10 * LIMIT):
            if self.ask(client) != "DUNNO":
                return sent
        raise AssertionError("no limit")

    def ask(self, client: str) -> str:
        return self.daemon.ask(client_address=client, instance=next(_instances))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    tmp_path = tmp_path_factory.mktemp("clock")
    url = prepared(f"sqlite:///{tmp_path}/gatepost.db")
    config = configure(tmp_path, url, f'[limits]\nclient = ["{LIMIT}/1h"]\n')
    file = tmp_path / "clock"
    file.write_text("+0\n")
    faked = {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        # What a step of the wall clock leaves alone (clock_settime(2)).
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "TZ": ZONE.key,
    }
    with running(config, environment=faked) as daemon:
        yield Machine(daemon, file)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log
        assert "ERROR" not in daemon.log


@pytest.mark.parametrize("step", [HOUR, -HOUR, -24 * HOUR], ids=["+1h", "-1h", "-1day"])
def test_a_clock_step_grants_or_blocks_at_most_one_window(machine: Machine, step: int) -> None:
    client = next(_clients)
    assert machine.fill(client) == LIMIT
    machine.step(step)
    assert machine.fill(client) <= LIMIT
    machine.step(BLOCKED)
    assert machine.fill(client) == LIMIT
    assert machine.fill(client) == 0


@pytest.mark.parametrize(
    "change",
    [datetime(2026, 10, 25, 1, tzinfo=UTC), datetime(2027, 3, 28, 1, tzinfo=UTC)],
    ids=["autumn", "spring"],
)
def test_summer_time_changes_no_limit_and_replies_show_local_time(
    machine: Machine, change: datetime
) -> None:
    client = next(_clients)
    machine.be(change - timedelta(seconds=90))
    assert machine.fill(client) == LIMIT
    machine.be(change + timedelta(seconds=90))
    refused = machine.ask(client)
    shown = re.search(r"Try again at (\d\d:\d\d)", refused)
    assert shown, refused
    free = change - timedelta(seconds=90) + timedelta(seconds=HOUR)
    walls = {f"{(free + timedelta(minutes=n)).astimezone(ZONE):%H:%M}" for n in range(4)}
    assert shown[1] in walls
    machine.be(change + timedelta(seconds=BLOCKED))
    assert machine.fill(client) == LIMIT
