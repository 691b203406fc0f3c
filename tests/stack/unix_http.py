"""HTTP over a unix socket, as authd is asked."""

import http.client
import socket
from pathlib import Path
from urllib.parse import urlencode

SECONDS = 60


class Connection(http.client.HTTPConnection):
    """One connection to the server that listens on *path*."""

    def __init__(self, path: Path) -> None:
        super().__init__("authd", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the path instead of the host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(self._path))


def post(path: Path, question: str, **values: str) -> tuple[int, dict[str, str]]:
    """Ask the server that listens on *path*; return status and fields."""
    connection = Connection(path)
    try:
        connection.request("POST", question, urlencode(values))
        response = connection.getresponse()
        lines = response.read().decode().splitlines()
    finally:
        connection.close()
    return response.status, dict(line.split("=", 1) for line in lines if line)
