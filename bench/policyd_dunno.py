"""The reference: an asyncio server that parses each request into a dictionary and says DUNNO.

``python -m bench.policyd_dunno PATH`` serves a unix socket until it is killed.
"""

import asyncio
import sys
from typing import cast

import uvloop

from policyd.protocol import Decoder, encode


class Dunno(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._decoder = Decoder()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep how to write."""
        self._write = cast("asyncio.Transport", transport).write

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        for raw in self._decoder.feed(data):
            text = raw.decode("utf-8", "surrogateescape")
            request = dict([line.split("=", 1) for line in text.split("\n")])
            assert request["request"] == "smtpd_access_policy"
            self._write(encode("DUNNO"))


async def serve(where: str) -> None:
    """Serve *where* (a path or a port) for ever."""
    loop = asyncio.get_running_loop()
    if where.isdigit():
        server = await loop.create_server(Dunno, "127.0.0.1", int(where), backlog=1024)
    else:
        server = await loop.create_unix_server(Dunno, where, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
