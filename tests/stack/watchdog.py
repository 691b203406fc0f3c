"""Ends everything that a test run started, once the run itself is gone.

Runs as a script with a pipe as its standard input, which the kernel closes when the run is gone,
however it ended. The first line is the mark of the run, each other the path of a folder. At the
end of the pipe it kills every process that has the mark or a folder in its environment, or works
in a folder, and removes the folders.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Killed servers end at once; the time is for those that are just being started.
END_SECONDS = 10.0
# A process may fork between two looks: only so many empty looks in a row are the end.
QUIET_LOOKS = 3
LOOK_SECONDS = 0.05


def main() -> None:
    """Wait for the end of the pipe, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    mark, *folders = (line.rstrip("\n") for line in sys.stdin)
    deadline = time.monotonic() + END_SECONDS
    quiet = 0
    while quiet < QUIET_LOOKS and time.monotonic() < deadline:
        left = list(of_the_run(mark, folders))
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        quiet = 0 if left else quiet + 1
        time.sleep(LOOK_SECONDS)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def of_the_run(mark: str, folders: list[str]) -> Iterator[int]:
    """Yield the processes that have *mark* or a folder in their environment, or work in one."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state = (process / "stat").read_bytes().rpartition(b") ")[2][:1]
            environment = (process / "environ").read_bytes().decode("utf-8", "replace")
            where = f"{(process / 'cwd').readlink()}/"
        except OSError:
            continue  # it ended meanwhile, or is another user's
        if state == b"Z" or int(process.name) == os.getpid():
            continue
        marks = (mark, *folders)
        if any(m in environment for m in marks) or any(where.startswith(f"{f}/") for f in folders):
            yield int(process.name)


if __name__ == "__main__":
    main()
