"""Folders of private servers. They and their servers end with this process, even if it is killed.

`watchdog.py` sees to that; it is started with the first folder, or by `watch`.
"""

import atexit
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Not /tmp, which may be private or 0700; and not deep, as the path of a unix socket
# has at most 107 bytes.
PARENT = Path("/var/tmp")
_MARK = "GATEPOST_TEST_RUN"
_watchdogs: dict[int, "subprocess.Popen[str]"] = {}


def watch() -> None:
    """Start the watchdog: from now on our children end with us, unless their environment is new."""
    if os.getpid() in _watchdogs:
        return
    mark = secrets.token_hex(8)
    watchdog = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("watchdog.py"))],
        stdin=subprocess.PIPE,
        text=True,
        env={},  # not the mark of the run that started us
        start_new_session=True,  # Ctrl-C is not for it
        cwd="/",
    )
    _watchdogs[os.getpid()] = watchdog
    os.environ[_MARK] = mark
    _tell(f"{_MARK}={mark}")


def create(prefix: str, *, parent: Path = PARENT) -> Path:
    """Make a folder that any user may enter; the watchdog hears of it before it is there."""
    watch()
    path = parent / f"{prefix}{secrets.token_hex(8)}"
    _tell(str(path))
    path.mkdir(mode=0o700)
    path.chmod(0o755)
    return path


@contextmanager
def temporary(prefix: str, *, parent: Path = PARENT) -> Iterator[Path]:
    """Yield a folder that any user may enter; remove it afterwards."""
    path = create(prefix, parent=parent)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)  # a server still dying may be writing in it


def _end() -> None:
    """Let the watchdog clean up now, and wait for its end."""
    watchdog = _watchdogs.pop(os.getpid(), None)
    if watchdog and watchdog.stdin:
        watchdog.stdin.close()
        watchdog.wait()


def _let_go() -> None:
    """Close the pipe in a forked child, which may outlive us."""
    for watchdog in _watchdogs.values():
        if watchdog.stdin:
            watchdog.stdin.close()  # nothing is buffered


atexit.register(_end)
os.register_at_fork(after_in_child=_let_go)


def _tell(line: str) -> None:
    pipe = _watchdogs[os.getpid()].stdin
    assert pipe
    pipe.write(f"{line}\n")
    pipe.flush()
