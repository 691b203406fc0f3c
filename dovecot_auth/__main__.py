"""``python -I -m dovecot_auth --config FILE``: run authd."""

import argparse
import asyncio
import sys

import uvloop

from config import logs
from config.loader import ConfigError, find, load
from dovecot_auth.server import run

BAD_CONFIGURATION = 78  # EX_CONFIG of sysexits(3)


def main() -> int:
    """Run until SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dovecot_auth", description=__doc__)
    parser.add_argument("--config", metavar="FILE", help="gatepost.toml")
    path = find(parser.parse_args().config)
    logs.setup("authd")
    try:
        settings = load(path)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_CONFIGURATION
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings, lambda: load(path)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
