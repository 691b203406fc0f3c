"""The settings of this machine's Postfix, read through postconf(1)."""

import re
import shutil
import subprocess
from pathlib import Path

from config.setup.part import CannotSetUp
from config.setup.postfix import SIZES, PostfixFacts

SECONDS = 30
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def run(*words: str) -> str:
    """Return the output of ``postconf`` with *words*; raise `CannotSetUp`."""
    program = shutil.which("postconf", path=_PATH)
    if program is None:
        raise CannotSetUp("postconf not found: is Postfix installed on this machine?")
    done = subprocess.run(
        [program, *words], check=False, capture_output=True, text=True, timeout=SECONDS
    )
    if done.returncode:
        raise CannotSetUp(f"postconf {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def facts(folder: Path) -> PostfixFacts:
    """Return the facts about the Postfix configured in *folder*."""
    where = ("-c", str(folder))
    found = _values(run(*where, "mail_version", "queue_directory"))
    # master.cf: service type private unprivileged chroot wakeup process-limit command
    lines = (line.split() for line in run(*where, "-M").splitlines())
    services = [f"{line[0]}/{line[1]}" for line in lines if line[7] == "smtpd"]
    own = re.findall(r"^(\S+/\w+)/(\w+) = ?(.*)$", run(*where, "-P"), re.MULTILINE)
    return PostfixFacts(
        version=tuple(map(int, re.findall(r"\d+", found["mail_version"])[:2])),
        queue_directory=found["queue_directory"],
        defaults=_values(run("-d", "disable_vrfy_command", *SIZES)),
        services=services,
        overrides={(service, name): value for service, name, value in own},
        free=shutil.disk_usage(found["queue_directory"]).free,
    )


def _values(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+) = ?(.*)$", text, re.MULTILINE))


def queue_directory() -> str | None:
    """Return the queue folder of this machine's Postfix, ``None`` without Postfix."""
    try:
        return run("-h", "queue_directory").strip()
    except CannotSetUp:
        return None
