"""``python -I -m policyd --config FILE``: the policy daemon in the foreground."""

import sys

from config.daemon.start import begin
from policyd.workers import run
from store.readiness import log_trouble

# After each SQL statement the committer's thread waits for the interpreter; Python's
# 5 ms would be longer than the whole transaction.
SWITCH_SECONDS = 0.0005


def main() -> int:
    """Read the settings and serve; return the exit code."""
    path, settings = begin("policyd", __doc__)
    log_trouble(settings.store.url)
    sys.setswitchinterval(SWITCH_SECONDS)
    return run(path, settings)


if __name__ == "__main__":
    sys.exit(main())
