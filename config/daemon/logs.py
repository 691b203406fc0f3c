"""Log lines of ``key=value``, one event each, whatever a value contains.

Text from outside is escaped and cut, so no line can be forged or flooded (check 36a). The log
goes to stderr: journald and the private stacks collect it.
"""

import logging
import sys

MAX_VALUE = 200  # characters of one value; the rest of a HELO of 10 kB is no news
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/@+,<>[]*%")


def setup(service: str, *, verbose: bool = False) -> None:
    """Send the log of this process to stderr, each line starting with level and *service*."""
    # Do not look up what our lines do not show (Logging HOWTO, "Optimization"): at a login that
    # costs as much as the line itself.
    logging._srcfile = None  # noqa: SLF001 - the documented way
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format=f"%(levelname)s {service}: %(message)s",
        force=True,
    )


def fields(**values: object) -> str:
    """Return ``key=value`` pairs in the order given; ``None`` is left out."""
    return " ".join(f"{key}={quoted(value)}" for key, value in values.items() if value is not None)


def quoted(value: object) -> str:
    """Return *value* for a log line: bare when harmless, else quoted, escaped and cut."""
    text = str(value)
    if len(text) > MAX_VALUE:
        text = text[:MAX_VALUE] + "…"
    if text and _PLAIN.issuperset(text):
        return text
    body = text.encode("unicode_escape", "backslashreplace").decode("ascii").replace('"', '\\"')
    return f'"{body}"'
