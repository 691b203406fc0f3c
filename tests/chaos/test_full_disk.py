"""The disk of the store is full, then is not (check 23)."""

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import pytest

from store import audit
from store.engine import Store
from store.errors import StoreUnavailable
from store.limits import whitelist
from tests.conftest import CHANGE
from tests.policyd.daemon import configure, prepared, running
from tests.policyd.test_store_loss import charged, eventually

pytestmark = pytest.mark.integration
SIZE = "4m"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a small file system of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(disk: Path) -> Path:
    """Leave no room; return the file that takes it."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    return ballast


def changes_until_failure(store: Store) -> int:
    """Change the store until it cannot; return how often it could."""
    for number in count():  # some changes fit in the pages that the log has already
        try:
            whitelist.add(store, "192.0.2.7", seconds=60, change=CHANGE)
        except StoreUnavailable:
            return number
    raise AssertionError


def is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as database:
        return bool(database.execute("PRAGMA integrity_check").fetchone() == ("ok",))


def test_changes_fail_for_now_while_the_disk_is_full_and_succeed_afterwards(disk: Path) -> None:
    store = Store(prepared(f"sqlite:///{disk}/gatepost.db"))
    ballast = fill(disk)
    done = changes_until_failure(store)
    ballast.unlink()
    assert len(audit.entries(store)) == done
    whitelist.add(store, "192.0.2.7", seconds=60, change=CHANGE)
    assert len(audit.entries(store)) == done + 1
    store.close()
    assert is_sound(disk / "gatepost.db")


def test_policyd_defers_while_the_disk_is_full_and_counts_without_a_restart(
    tmp_path: Path, disk: Path
) -> None:
    url = prepared(f"sqlite:///{disk}/gatepost.db")
    extra = '[limits]\nclient = ["100000/1h"]\non_store_loss = "defer"\n'
    with running(configure(tmp_path, url, extra)) as daemon, daemon.client() as client:
        ballast = fill(disk)
        accepted = 0
        while client.ask(instance=f"full {accepted}") == "DUNNO":
            accepted += 1
        daemon.wait_for_log("event=store-lost")
        assert daemon.ask(instance="still full") == ""
        ballast.unlink()
        assert eventually(lambda: daemon.ask(instance="freed") == "DUNNO", 4)
        assert daemon.stop() == 0
    assert charged(url) == [accepted + 1]
    assert is_sound(disk / "gatepost.db")
