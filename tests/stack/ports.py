"""Free ports on loopback for private servers."""

import secrets
import socket
from contextlib import ExitStack, suppress

HOST = "127.0.0.1"
# Below those the kernel gives to outgoing connections (ip_local_port_range): one of these
# could take a port between our look and the server's start.
_PORTS = range(10_000, 32_000)


def free_port() -> int:
    """Return a port nobody listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return *count* different ports nobody listens on now."""
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            port = secrets.choice(_PORTS)  # pytest-randomly gives all workers the same random
            with suppress(OSError):  # taken
                held.enter_context(socket.socket()).bind((HOST, port))
                found.append(port)
        return found
