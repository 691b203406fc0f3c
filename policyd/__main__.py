"""``python -I -m policyd --config FILE``: the policy daemon in the foreground."""

import argparse
import sys

from config import logs
from config.loader import ConfigError, find, load
from policyd.workers import run

EX_CONFIG = 78  # sysexits(3)
# After each SQL statement the committer's thread waits for the interpreter; Python's
# 5 ms would be longer than the whole transaction.
SWITCH_SECONDS = 0.0005


def main() -> int:
    """Read the settings and serve; return the exit code."""
    parser = argparse.ArgumentParser(prog="policyd", description=__doc__)
    parser.add_argument("--config", help="gatepost.toml (default: GATEPOST_CONFIG, /etc/gatepost)")
    parser.add_argument("--verbose", action="store_true", help="log more")
    options = parser.parse_args()
    path = find(options.config)
    try:
        settings = load(path)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - before there is a log
        return EX_CONFIG
    sys.setswitchinterval(SWITCH_SECONDS)
    logs.setup("policyd", verbose=options.verbose)
    return run(path, settings)


if __name__ == "__main__":
    sys.exit(main())
