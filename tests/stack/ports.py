"""Free ports on loopback for private servers."""

import socket
from contextlib import ExitStack

HOST = "127.0.0.1"


def free_port() -> int:
    """Return a port nobody listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return *count* different ports nobody listens on now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in sockets]
