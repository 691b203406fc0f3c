"""The private server leaves nothing behind, however its starter ends."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.stack.clients import wait_until

SECONDS = 60.0
# A run started in the background ignores SIGINT, and its children inherit that.
BEGIN = """
import signal, time
from tests.stack import folder, mariadb, postgres
from tests.stack.stack import Stack
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
MAIL = """
with Stack() as stack:
    print(stack.layout.root, flush=True)
    time.sleep(600)
"""
DATABASE = """
with {module}.running() as server:
    print(server.folder, flush=True)
    time.sleep(600)
"""
# Tells of each folder before anything is in it.
EARLY = """
create = folder.create
def telling(prefix, **options):
    path = create(prefix, **options)
    print(path, flush=True)
    return path
folder.create = mariadb.create = postgres.create = telling
"""
BENCH = """
import sys
from bench import login
from bench.__main__ import main
login.create = telling
sys.argv = ["bench", "--quick", {name!r}]
main()
"""
DATABASES = {name: DATABASE.format(module=name) for name in ("mariadb", "postgres")}


@contextmanager
def started(program: str = MAIL) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Start private servers in a process of their own; yield the process and the folder."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", BEGIN + program]
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


def children(pid: int) -> list[str]:
    """Return the processes that *pid* has started and not waited for."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def is_gone(folder: Path) -> bool:
    """Return whether nothing is left of *folder*."""
    return servers(folder) == [] and not folder.exists()


def test_ctrl_c_takes_everything_down() -> None:
    with started() as (process, folder):
        assert servers(folder)
        process.send_signal(signal.SIGINT)
        process.wait(SECONDS)
        assert servers(folder) == []
        assert not folder.exists()


@pytest.mark.usefixtures("trouble")
@pytest.mark.parametrize("program", [MAIL, *DATABASES.values()], ids=["mail", *DATABASES])
def test_a_killed_test_run_leaves_no_server_and_no_folder(program: str) -> None:
    with started(program) as (process, folder):
        assert servers(folder)
        process.kill()
        wait_until(lambda: is_gone(folder), "the end", SECONDS)


@pytest.mark.usefixtures("trouble")
@pytest.mark.parametrize(
    ("name", "begun"),
    [("mail", 0), ("mail", 1), ("mail", 3), ("mail", 6)]
    + [(name, begun) for name in DATABASES for begun in (0, 1)],
)
def test_a_run_killed_while_it_starts_leaves_no_server_and_no_folder(name: str, begun: int) -> None:
    """*begun* is how many servers run by then."""
    program = DATABASES.get(name, MAIL)
    with started(EARLY + program) as (process, folder):
        wait_until(lambda: len(servers(folder)) >= begun, f"{begun} servers", SECONDS)
        process.kill()
        wait_until(lambda: is_gone(folder), "the end", SECONDS)


@pytest.mark.usefixtures("trouble")
@pytest.mark.parametrize("name", ["policyd", "milter", "login"])
def test_a_killed_bench_leaves_no_server_and_no_folder(name: str) -> None:
    with started(EARLY + BENCH.format(name=name)) as (process, first):
        wait_until(lambda: len(children(process.pid)) > 1, "a server beside the watchdog", SECONDS)
        process.kill()
        assert process.stdout
        folders = [first, *map(Path, process.stdout.read().split())]  # up to its end
        wait_until(lambda: all(map(is_gone, folders)), "the end", SECONDS)


def test_a_killed_run_leaves_none_of_its_children(tmp_path: Path) -> None:
    child = "import time; time.sleep(600)"
    program = f"""
import subprocess, sys
folder.watch()
subprocess.Popen([sys.executable, "-c", {child!r}, {str(tmp_path)!r}], start_new_session=True)
print({str(tmp_path)!r}, flush=True)
time.sleep(600)
"""
    with started(program) as (process, folder):
        wait_until(lambda: servers(folder) != [], "the child", SECONDS)
        process.kill()
        wait_until(lambda: servers(folder) == [], "its end", SECONDS)
