"""A policyd that never refuses, and its use of memory and descriptors."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.policyd.daemon import Daemon, configure, prepared, running


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    url = prepared(f"sqlite:///{tmp_path}/gatepost.db")
    with running(configure(tmp_path, url, '[limits]\nclient = ["900000000/1h"]\n')) as started:
        yield started


def memory(daemon: Daemon) -> int:
    """Return the resident set in bytes."""
    pages = int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))  # noqa: PTH208 - numbers, not paths
