"""Whether a server is ready, as its clients see it."""

import socket
from pathlib import Path

from tests.stack.ports import HOST

_SECONDS = 2.0


def listens(port: int) -> bool:
    """Return whether somebody accepts connections on *port*."""
    try:
        socket.create_connection((HOST, port), _SECONDS).close()
    except OSError:
        return False
    return True


def greets(port: int, greeting: bytes) -> bool:
    """Return whether the server on *port* speaks first, and as expected."""
    try:
        with socket.create_connection((HOST, port), _SECONDS) as channel:
            return channel.recv(512).startswith(greeting)
    except OSError:
        return False


def answers(path: Path) -> bool:
    """Return whether somebody accepts connections on the unix socket *path*."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(_SECONDS)
        try:
            channel.connect(str(path))
        except OSError:
            return False
    return True
