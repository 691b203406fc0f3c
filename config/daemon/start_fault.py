"""Why a service cannot start, reported once a minute however often systemd tries again.

Each attempt is a new process, so the last report is kept in a file, one for each service's user.
"""

import contextlib
import hashlib
import os
import time
from pathlib import Path

FOLDER = Path("/run/gatepost")
SECONDS = 60


def is_news(text: str) -> bool:
    """Return whether *text* was not reported within the last minute, and note that it is now.

    Always true without systemd, which sets ``INVOCATION_ID``: then a person started the service.
    """
    if "INVOCATION_ID" not in os.environ:
        return True
    kept = FOLDER / f"start-fault.{os.getuid()}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    with contextlib.suppress(OSError):  # there is none before the first fault
        if kept.read_text() == digest and abs(time.time() - kept.stat().st_mtime) < SECONDS:
            return False
    with contextlib.suppress(OSError):  # rather twice than never
        kept.write_text(digest)
    return True
