"""A whole Debian machine with a systemd of its own, booted in a container and thrown away.

`make_root` makes its files once; each machine is a copy-on-write copy of them in memory, with
a network of its own that reaches nothing. Only one machine runs at a time.
"""

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
LOCK = Path("/run/lock/gatepost-existing")
# Making a root downloads and unpacks some 400 MB of packages.
ROOT_SECONDS = 1200
BOOT_SECONDS = 120
STOP_SECONDS = 60
# In Debian 12's hierarchy of control groups, systemd in a container is not notified that the last
# process of a service has ended, and waits for the whole timeout.
SERVICE_STOP_SECONDS = 5
POLL_SECONDS = 0.2
_CLEAN = ("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "HOME=/root",
          "LANG=C.UTF-8", "TERM=dumb")  # fmt: skip

# The copy is mounted where only the container sees it: nothing stays mounted when it ends.
_BOOT = """\
mount -t tmpfs gatepost-existing "$1"
mkdir "$1"/changes "$1"/work "$1"/root
mkdir -p "$1"/changes/etc/systemd/system.conf.d
printf '[Manager]\\nDefaultTimeoutStopSec=%s\\n' "$4" \\
  >"$1"/changes/etc/systemd/system.conf.d/stop.conf
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/changes,workdir=$1/work" "$1/root"
exec systemd-nspawn --quiet --boot --private-network --register=no --keep-unit \\
  --console=read-only --machine=gatepost-existing --bind-ro="$3:/usr/src/gatepost" -D "$1/root"
"""


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome of a command in the machine."""

    code: int
    text: str  # both streams


class Machine:
    """A booted machine."""

    def __init__(self, leader: int, release: str) -> None:
        """*leader* is the machine's first process, *release* a Debian code name."""
        self.leader = leader
        self.release = release

    @property
    def root(self) -> Path:
        """The machine's root folder, as the host sees it."""
        return Path(f"/proc/{self.leader}/root")

    def try_run(self, script: str, *, seconds: float = 120, user: str = "root") -> Done:
        """Run *script* in the machine as *user*."""
        become = () if user == "root" else ("runuser", "-u", user, "--")
        done = subprocess.run(
            ["nsenter", "-t", str(self.leader), "-a", "-r", "-w", *_CLEAN, *become,
             "bash", "-euo", "pipefail", "-c", script],
            check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=seconds,
        )  # fmt: skip
        return Done(done.returncode, done.stdout.decode("utf-8", "replace"))

    def run(self, script: str, *, seconds: float = 120, user: str = "root") -> str:
        """Run *script*; raise `AssertionError` with its output if it fails."""
        done = self.try_run(script, seconds=seconds, user=user)
        assert done.code == 0, f"exit {done.code}\n$ {script}\n{done.text[-6000:]}"
        return done.text

    def wait_for(self, script: str, *, seconds: float = 30) -> str:
        """Run *script* until it succeeds; raise `AssertionError` with its last output."""
        deadline = time.monotonic() + seconds
        while (done := self.try_run(script)).code:
            assert time.monotonic() < deadline, f"never: {script}\n{done.text[-3000:]}"
            time.sleep(POLL_SECONDS)
        return done.text


@contextmanager
def running(release: str, folder: Path) -> Iterator[Machine]:
    """Boot a machine of *release* (a Debian code name), its changes in memory under *folder*."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = _root(release)
        groups: list[Path] = []
        log = folder / "console.log"
        with log.open("wb") as console:
            child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "--",
                 "unshare", "--mount", "--propagation", "private",
                 "sh", "-euc", _BOOT, "boot", str(folder), str(root), str(REPOSITORY),
                 f"{SERVICE_STOP_SECONDS}s"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
                # Debian 12's version must be told which hierarchy the guest uses.
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": _hierarchy(release)},
            )  # fmt: skip
        try:
            machine = Machine(_leader(child, log), release)
            machine.wait_for(
                "systemctl is-system-running | grep -E '^(running|degraded)$'", seconds=BOOT_SECONDS
            )
            if release == "bookworm":
                groups = _hand_over_memory_controller(machine)
            yield machine
        finally:
            child.terminate()  # nspawn shuts the machine down
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            for group in groups:
                subprocess.run(
                    ["find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"],
                    check=False, capture_output=True,
                )  # fmt: skip


def _root(release: str) -> Path:
    done = subprocess.run(
        [HERE / "make_root", release],
        check=False, capture_output=True, text=True, timeout=ROOT_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def _hand_over_memory_controller(machine: Machine) -> list[Path]:
    """Let the machine's systemd enforce ``MemoryMax``: nspawn mounts the controller read-only.

    Not on Debian 13: its systemd knows only the unified hierarchy, which has no memory controller
    here. Return the control groups that will be left on the host.
    """
    done = subprocess.run(
        ["nsenter", "-t", str(machine.leader), "-m", "-p", "-C",
         "mount", "-o", "remount,rw,bind", "/sys/fs/cgroup/memory"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    machine.run("systemctl daemon-reexec")
    for line in Path(f"/proc/{machine.leader}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            group = Path("/sys/fs/cgroup/memory") / path.lstrip("/").removesuffix("/init.scope")
            return [group / each for each in ("system.slice", "user.slice", "init.scope")]
    raise AssertionError("no memory controller")


def _hierarchy(release: str) -> str:
    return "0" if release == "bookworm" else "1"


def _leader(child: "subprocess.Popen[bytes]", log: Path) -> int:
    """Return the machine's first process: the one child of nspawn."""
    deadline = time.monotonic() + BOOT_SECONDS
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    while time.monotonic() < deadline:
        assert child.poll() is None, log.read_text("utf-8", "replace")
        for pid in map(int, children.read_text().split()):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                return pid
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"the machine does not boot: {log.read_text('utf-8', 'replace')}")
