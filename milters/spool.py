"""The first part of a body, kept until spamd gets it: a small one in memory, a large one on disk.

Otherwise twenty mails of half a gigabyte would hold ten megabytes while they come in.
The file has no name and disappears with the message or the process.
"""

import tempfile
from typing import IO

# Most mails are smaller than this and never touch the disk.
IN_MEMORY = 64 << 10
# A disk on every system; /tmp may be memory (Debian 13).
SPOOL = "/var/tmp"  # noqa: S108 - the file has no name to guess


class BodySpool:
    """Bytes appended one after the other, then read once."""

    __slots__ = ("_file", "_small", "size")

    def __init__(self) -> None:
        self._small = bytearray()
        self._file: IO[bytes] | None = None
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Append *piece*."""
        self.size += len(piece)
        if self._file is None and self.size <= IN_MEMORY:
            self._small += piece
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=SPOOL)  # noqa: SIM115 - closed by `close`
            self._file.write(self._small)
            self._small.clear()
        self._file.write(piece)

    def read(self) -> bytes:
        """Return all of it."""
        if self._file is None:
            return bytes(self._small)
        self._file.seek(0)
        return self._file.read()

    def close(self) -> None:
        """Free the memory and the file; nothing can be read afterwards."""
        self._small.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
