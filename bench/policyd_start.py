"""Start the servers of the policy benchmark and stop them with it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from store import schema
from store.audit import AuditContext
from store.engine import Store
from store.limits import whitelist

START_SECONDS = 30


def launch(
    stack: contextlib.ExitStack, command: Sequence[str], log: Path, ready: Callable[[], bool]
) -> "subprocess.Popen[bytes]":
    """Start *command* with a process group of its own; return when it is *ready*."""
    output = stack.enter_context(log.open("wb"))
    process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    stack.callback(_end, process)
    until = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > until or process.poll() is not None:
            raise RuntimeError(f"{command[0]} did not start: {log.read_text('utf-8', 'replace')}")
        time.sleep(0.05)
    return process


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def dunno(stack: contextlib.ExitStack, folder: Path) -> str:
    """Start the reference; return its socket."""
    socket = folder / "dunno.sock"
    command = [sys.executable, "-m", "bench.policyd_dunno", str(socket)]
    launch(stack, command, folder / "dunno.log", socket.exists)
    return str(socket)


def gatepost(
    stack: contextlib.ExitStack,
    folder: Path,
    url: str,
    limit: str,
    *,
    exempt: bool = False,
) -> str:
    """Start a policyd with its own folder and the client limit *limit*; return its socket."""
    folder.mkdir()
    folder.chmod(0o711)
    store = Store(url)
    schema.upgrade(store)
    if exempt:
        whitelist.add(
            store, "10.0.0.0/8", seconds=None, change=AuditContext("bench", "a benchmark")
        )
    store.close()
    config, socket = folder / "gatepost.toml", folder / "policy.sock"
    config.write_text(
        f'[site]\ndomains = ["mail.example.edu"]\n[store]\nurl = "{url}"\n'
        f'[policyd]\nlisten = ["unix:{socket}"]\n'
        f"[limits]\nclient = {limit}\n"
        '[roles.staff]\nsend = ["900000000/1h", "900000000/1d"]\n'
    )
    command = [sys.executable, "-I", "-m", "policyd", "--config", str(config)]
    launch(stack, command, folder / "log", socket.exists)
    return str(socket)
