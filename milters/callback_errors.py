"""What pymilter raises where no Python of ours can catch it, before it calls us or after.

It reports here (`sys.excepthook`) and goes on as if the callback had said "continue". That
is right for text it could not decode: the connection is handed the bytes instead.
Anything else might be a mail taken unseen, so the process ends: Postfix puts its mail
off, and systemd starts us again.
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
    """What a connection does with bytes that are no text."""

    def undecoded(self, text: bytes) -> None:
        """Take a HELO or the name of a header field, whichever is due."""


class _Here(threading.local):
    """The connection that the present callback is about: pymilter keeps a thread for each."""

    connection: Connection | None = None


_here = _Here()


def watch() -> None:
    """Hear of everything that is raised."""
    sys.excepthook = _hear


def belongs_to(connection: Connection) -> None:
    """Remember that this thread, as Python counts them, serves *connection*."""
    _here.connection = connection


def _hear(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
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
