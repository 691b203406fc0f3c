"""``python -I -m policyd --config FILE``: the policy daemon in the foreground."""

import signal
import sys

from config.daemon.start import begin
from policyd.server import SIGNALS, serve
from store.readiness import log_trouble

# After each SQL statement the committer's thread waits for the interpreter lock; Python's
# default of 5 ms is longer than the whole transaction.
SWITCH_SECONDS = 0.0005


def main() -> None:
    """Read the settings and serve until SIGTERM."""
    # A signal that comes before its handler is installed waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    path, settings = begin("policyd", __doc__)
    log_trouble(settings.store.url)
    sys.setswitchinterval(SWITCH_SECONDS)
    serve(path, settings)


if __name__ == "__main__":
    main()
