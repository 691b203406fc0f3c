"""Postfix policy delegation protocol: bytes in, requests and replies out. No I/O.

A request is ``name=value`` lines ended by an empty line (SMTPD_POLICY_README); TCP may cut it
anywhere. Exceeding a limit closes the connection without a reply; Postfix then retries once
and answers its client 451, so no mail is lost.
"""

MAX_REQUEST = 16 * 1024  # Postfix sends about 1 kB. Bounds memory per connection.
_END = b"\n\n"
_FORBIDDEN = frozenset("\r\n\0")


class ProtocolError(Exception):
    """The peer does not speak the protocol: log, close, send nothing."""


class Decoder:
    """Reassemble requests from chunks of any size."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def pending(self) -> bool:
        """Whether a request has begun and not ended."""
        return bool(self._rest)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the requests that *chunk* completes, oldest first, without their empty line."""
        *complete, self._rest = (self._rest + chunk if self._rest else chunk).split(_END)
        if len(self._rest) > MAX_REQUEST or any(len(raw) > MAX_REQUEST for raw in complete):
            raise ProtocolError(f"request longer than {MAX_REQUEST} bytes")
        return complete


def encode(action: str) -> bytes:
    """Return the reply that asks Postfix for *action*, one access(5) line."""
    if not _FORBIDDEN.isdisjoint(action):
        raise ValueError("action must be one line")  # our bug, not the peer's
    return f"action={action}\n\n".encode()
