"""The private server leaves nothing behind, however its starter ends."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SECONDS = 60.0
PROGRAM = """
import time
from tests.stack.stack import Stack
with Stack() as stack:
    print(stack.layout.root, flush=True)
    time.sleep(600)
"""


@contextmanager
def started() -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Start a stack in a process of its own; yield the process and the folder."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=root
    ) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        try:
            yield process, folder
        finally:
            process.kill()
            shutil.rmtree(folder, ignore_errors=True)  # nobody is left to do it


def servers(folder: Path) -> list[str]:
    """Return the command lines of all processes that have to do with *folder*."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().replace(b"\\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue  # it ended meanwhile
        if str(folder) in words and each.parent.name != str(os.getpid()):
            found.append(words)
    return found


def test_ctrl_c_takes_everything_down() -> None:
    with started() as (process, folder):
        assert servers(folder)
        process.send_signal(signal.SIGINT)
        process.wait(SECONDS)
        assert servers(folder) == []
        assert not folder.exists()


@pytest.mark.usefixtures("trouble")
def test_even_a_killed_test_run_leaves_no_server() -> None:
    with started() as (process, folder):
        assert servers(folder)
        process.kill()
        deadline = time.monotonic() + SECONDS
        while servers(folder) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert servers(folder) == []
