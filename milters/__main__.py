"""``python -I -m milters --config FILE``: the milter in the foreground."""

import sys

from config.daemon.start import begin
from milters.server import run
from store.readiness import log_trouble


def main() -> int:
    """Read the settings and serve; return the exit code."""
    path, settings = begin("milter", __doc__)
    log_trouble(settings.store.url)
    return run(path, settings)


if __name__ == "__main__":
    sys.exit(main())
