"""The little of HTTP/1.1 that Dovecot's client, our script and curl speak (RFC 9112). No I/O.

POST with a form, Content-Length only, keep-alive. A head of more than `MAX_HEAD`
or a body of more than `MAX_BODY` bytes, chunks, or anything unreadable raise
`ProtocolError`: answer 400 and close.
"""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

MAX_HEAD = 4 * 1024  # Dovecot's request head has 200 bytes
MAX_BODY = 8 * 1024  # 512 bytes of name and password, each escaped as three, and an address
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}


class ProtocolError(Exception):
    """The peer does not speak the protocol: answer 400 and close."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. *keep* says whether another may follow on the connection."""

    method: str
    path: str
    body: bytes
    keep: bool


class Decoder:
    """Reassemble requests from chunks of any size."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._buffer = b""

    def feed(self, chunk: bytes) -> list[Request]:
        """Return the requests that *chunk* completes, oldest first."""
        self._buffer += chunk
        done: list[Request] = []
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            if end > MAX_HEAD:
                break
            method, path, keep, length = _head(self._buffer[:end])
            start, stop = end + 4, end + 4 + length
            if len(self._buffer) < stop:
                return done
            done.append(Request(method, path, self._buffer[start:stop], keep))
            self._buffer = self._buffer[stop:]
        if len(self._buffer) > MAX_HEAD:
            raise ProtocolError(f"a head of more than {MAX_HEAD} bytes")
        return done

    @property
    def is_idle(self) -> bool:
        """Whether no part of a request is waiting for the rest."""
        return not self._buffer


def form(body: bytes) -> dict[str, str]:
    """Return the values of an ``application/x-www-form-urlencoded`` *body*.

    Bytes that are not UTF-8 become surrogates: they match no password, and say so
    by being refused rather than by an error.
    """
    values: dict[str, str] = {}
    for part in body.split(b"&"):
        name, equals, value = part.partition(b"=")
        if not equals or not name.isalpha() or name.decode("ascii", "replace") in values:
            raise ProtocolError("not a form")
        plain = unquote_to_bytes(value.replace(b"+", b" "))
        values[name.decode("ascii")] = plain.decode("utf-8", "surrogateescape")
    return values


def encode(status: int, fields: dict[str, str], *, keep: bool) -> bytes:
    """Return a response whose body is ``name=value`` lines and an empty line.

    The empty line tells the script that the answer arrived whole.
    """
    lines = "".join(f"{name}={value}\n" for name, value in fields.items())
    if lines.count("\n") != len(fields):
        raise ValueError("a value must be one line")  # our bug, not the peer's
    body = f"{lines}\n".encode("utf-8", "surrogateescape")
    head = (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Service Unavailable')}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
    )
    return head.encode("ascii") + body


def _head(raw: bytes) -> tuple[str, str, bool, int]:
    try:
        first, *lines = raw.decode("ascii").split("\r\n")
        method, path, version = first.split(" ")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
    except ValueError:
        raise ProtocolError("not an HTTP head") from None
    if version not in {"HTTP/1.0", "HTTP/1.1"} or "transfer-encoding" in headers:
        raise ProtocolError("not HTTP/1 with a Content-Length")
    length = headers.get("content-length", "0")
    if not length.isdigit() or len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
        raise ProtocolError(f"a body of more than {MAX_BODY} bytes")
    connection = headers.get("connection", "").lower()
    keep = connection == "keep-alive" or (version == "HTTP/1.1" and connection != "close")
    return method, path, keep, int(length)
