"""A name server on loopback that knows a few TXT records (RFC 1035), and no other name."""

import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.stack.ports import HOST

_TXT, _IN, _TTL = 16, 1, 60
_ANSWER, _NO_SUCH_NAME = 0x8580, 0x8583  # authoritative, recursion available
_HEADER, _LONGEST = 12, 512


@contextmanager
def serving(texts: Mapping[str, str]) -> Iterator[int]:
    """Answer for the names of *texts*; yield the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.bind((HOST, 0))
        thread = threading.Thread(target=_serve, args=(channel, texts), daemon=True)
        thread.start()
        yield channel.getsockname()[1]
        channel.sendto(b"", channel.getsockname())  # an empty datagram ends it
        thread.join()


def _serve(channel: socket.socket, texts: Mapping[str, str]) -> None:
    while True:
        asked, client = channel.recvfrom(_LONGEST)
        if not asked:
            return
        channel.sendto(_reply(asked, texts), client)


def _reply(asked: bytes, texts: Mapping[str, str]) -> bytes:
    labels, at = [], _HEADER
    while size := asked[at]:
        labels.append(asked[at + 1 : at + 1 + size].decode())
        at += size + 1
    question = asked[_HEADER : at + 5]
    text = texts.get(".".join(labels).lower())
    wants_text = struct.unpack(">H", asked[at + 1 : at + 3]) == (_TXT,)
    flags = _NO_SUCH_NAME if text is None else _ANSWER
    found = text.encode() if text is not None and wants_text else b""
    head = asked[:2] + struct.pack(">HHHHH", flags, 1, 1 if found else 0, 0, 0)
    if not found:
        return head + question
    data = bytes([len(found)]) + found
    name = b"\xc0\x0c"  # the name in the question
    return head + question + name + struct.pack(">HHIH", _TXT, _IN, _TTL, len(data)) + data
