"""``python -I -m milters --config FILE``: the milter in the foreground."""

import sys

from config.start import begin
from milters.process import run


def main() -> int:
    """Read the settings and serve; return the exit code."""
    return run(*begin("milter", __doc__))


if __name__ == "__main__":
    sys.exit(main())
