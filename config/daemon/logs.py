"""One event a line, ``key=value``, whatever a stranger put in a value.

User text is escaped and cut, so a line can neither be forged nor flooded
(CHECKS 36a). Goes to stderr: journald and the private stacks collect it.
"""

import logging
import sys

MAX_VALUE = 200  # characters of one value; a HELO of 10 kB tells nobody more than its start
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/@+,<>[]*%")


def setup(service: str, *, verbose: bool = False) -> None:
    """Send the log of this process to stderr, each line starting with level and *service*."""
    # What no line of ours shows is not looked up (Logging HOWTO, "Optimization"): at a login
    # it costs as much as the line itself.
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
