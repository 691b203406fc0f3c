"""Exceptions that pymilter raises outside the callbacks, where no `except` can catch them.

It reports them here (`sys.excepthook`) and continues as if the callback had answered
"continue". That is right for text it could not decode: the connection gets the bytes instead.
Anything else might let mail pass unchecked, so the process ends: Postfix defers its mail,
and systemd starts the milter again.
"""

import logging
import os
import sys
import threading
from types import TracebackType
from typing import Protocol

from config.daemon.events import event

log = logging.getLogger("milter")


class Connection(Protocol):
    """What a connection does with bytes that are not UTF-8."""

    def undecoded(self, text: bytes) -> None:
        """Take a HELO or the name of a header field, whichever is due."""


class _Here(threading.local):
    """The connection that the current callback serves: pymilter keeps a thread state for each."""

    connection: Connection | None = None


_here = _Here()


def watch() -> None:
    """Handle every exception that reaches `sys.excepthook`."""
    sys.excepthook = _handle


def belongs_to(connection: Connection) -> None:
    """Remember that this thread, as Python counts them, serves *connection*."""
    _here.connection = connection


def _handle(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    connection = _here.connection
    if connection is None:
        sys.__excepthook__(kind, error, trace)
    elif isinstance(error, UnicodeDecodeError) and trace is None:  # no line of Python raised it
        connection.undecoded(error.object)
    else:
        try:
            log.critical(event("bug", at="binding"), exc_info=(kind, error, trace))
        finally:
            os._exit(os.EX_SOFTWARE)
