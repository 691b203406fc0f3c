"""The disk fails to keep what it took (check 24): strace injects the errors of fsync."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from store import audit
from store.engine import Store
from tests.conftest import CHANGE
from tests.policyd.daemon import prepared

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
# Says what was acknowledged, and what was not.
WRITER = """
import sys
from store.engine import Store
from store.errors import StoreUnavailable
from store.limits import whitelist
from tests.conftest import CHANGE
store = Store(sys.argv[1])
for number in range(12):
    try:
        whitelist.add(store, f"192.0.2.{number}", seconds=None, change=CHANGE)
        print("done", f"192.0.2.{number}/32", flush=True)
    except StoreUnavailable:
        print("later", f"192.0.2.{number}/32", flush=True)
"""


@pytest.mark.parametrize("call", ["fsync,fdatasync", "pwrite64"])
@pytest.mark.parametrize("when", ["3", "5..7", "4+2"])
def test_an_acknowledged_change_survives_a_disk_that_fails(
    tmp_path: Path, call: str, when: str
) -> None:
    path = tmp_path / "gatepost.db"
    url = prepared(f"sqlite:///{path}")
    inject = ["strace", "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", f"trace={call}"]
    inject += ["-e", f"inject={call}:error=EIO:when={when}"]
    done = subprocess.run(
        [*inject, sys.executable, "-c", WRITER, url],
        cwd=ROOT, check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "INJECTED" in (tmp_path / "trace").read_text()
    replies = [line.split() for line in done.stdout.splitlines()]
    assert "later" in {verb for verb, _ in replies}
    store = Store(url)
    kept = {entry.subject for entry in audit.entries(store) if entry.who == CHANGE.who}
    store.close()
    assert {network for verb, network in replies if verb == "done"} <= kept
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
