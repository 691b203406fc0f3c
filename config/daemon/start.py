"""Starting a service: its command line, its settings, its log."""

import argparse
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.daemon import logs
from config.daemon.events import event
from config.daemon.start_fault import is_news
from config.loader import DEFAULT_PATH, ConfigError, find, load_with_warnings
from config.settings import Settings

log = logging.getLogger(__name__)


def begin(service: str, doc: str | None) -> tuple[Path, Settings]:
    """Read ``--config`` and the settings and start the log; return both.

    Ends the process with 78 (EX_CONFIG) and the problems on stderr, a line each.
    """
    parser = argparse.ArgumentParser(prog=service, description=doc)
    parser.add_argument("--config", help=f"default: $GATEPOST_CONFIG, then {DEFAULT_PATH}")
    parser.add_argument("--verbose", action="store_true", help="log more")
    options = parser.parse_args()
    path = find(options.config)
    try:
        settings, warnings = load_with_warnings(path)
    except ConfigError as error:
        if is_news(str(error)):
            sys.stderr.write(f"{error}\n")  # there is no log yet
        sys.exit(os.EX_CONFIG)
    logs.setup(service, verbose=options.verbose)
    for warning in warnings:
        log.warning(event("setting-ignored", key=warning.key, reason=warning.text))
    return path, settings


@contextmanager
def listening_on(address: object) -> Iterator[None]:
    """End the process with 69 (EX_UNAVAILABLE) and one line if *address* cannot be bound."""
    try:
        yield
    except OSError as error:
        line = event("cannot-listen", address=address, reason=error.strerror)
        if is_news(line):
            log.error(line)  # noqa: TRY400 - a traceback adds nothing
        sys.exit(os.EX_UNAVAILABLE)
