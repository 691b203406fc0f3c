"""The part of HTTP/1.1 that Dovecot's client, our script and curl use (RFC 9112). No I/O.

POST with a form, Content-Length only, keep-alive. A head of more than `MAX_HEAD` or a
body of more than `MAX_BODY` bytes, chunks, and anything unreadable raise `ProtocolError`:
answer 400 and close.
"""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

MAX_HEAD = 4 * 1024  # bytes; Dovecot's request head has 200
MAX_BODY = 8 * 1024  # bytes; 512 of name and password, each escaped as three, and an address
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


class ProtocolError(Exception):
    """The peer does not speak the protocol: answer 400 and close."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. *keep* says whether another may follow on the connection."""

    method: str
    path: str
    body: bytes
    keep: bool


@dataclass(frozen=True, slots=True)
class _Head:
    method: str
    path: str
    keep: bool
    length: int
    expects: bool  # 100-continue before it sends the body


class Decoder:
    """Reassemble requests from chunks of any size."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._buffer = b""
        self._head: _Head | None = None
        self._go_ahead = False

    def feed(self, chunk: bytes) -> list[Request]:
        """Return the requests that *chunk* completes, oldest first."""
        self._buffer += chunk
        done: list[Request] = []
        while head := self._next_head():
            if len(self._buffer) < head.length:
                return done
            body, self._buffer = self._buffer[: head.length], self._buffer[head.length :]
            done.append(Request(head.method, head.path, body, head.keep))
            self._head, self._go_ahead = None, False
        return done

    def go_ahead(self) -> bytes:
        """Return, once, the line that a peer waits for before it sends its body.

        Dovecot's client does; without the line it waits 2 s at every login.
        """
        is_due, self._go_ahead = self._go_ahead, False
        return CONTINUE if is_due else b""

    @property
    def is_idle(self) -> bool:
        """Whether no part of a request is waiting for the rest."""
        return not self._buffer and self._head is None

    def _next_head(self) -> _Head | None:
        if self._head is None:
            raw, end, rest = self._buffer.partition(b"\r\n\r\n")
            if len(raw) > MAX_HEAD:
                raise ProtocolError(f"a head of more than {MAX_HEAD} bytes")
            if end:
                self._head, self._buffer = _parse(raw), rest
                self._go_ahead = self._head.expects
        return self._head


def form(body: bytes) -> dict[str, str]:
    """Return the values of an ``application/x-www-form-urlencoded`` *body*.

    Bytes that are not UTF-8 become surrogates. They match no password, so the login is
    refused; it is not an error.
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

    The empty line tells the script that the whole answer has arrived.
    """
    lines = "".join(f"{name}={value}\n" for name, value in fields.items())
    if lines.count("\n") != len(fields):
        raise ValueError("a value must be one line")  # our bug, not the peer's
    body = f"{lines}\n".encode("utf-8", "surrogateescape")
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
    )
    return head.encode("ascii") + body


def _parse(raw: bytes) -> _Head:
    try:
        first, *lines = raw.decode("ascii").split("\r\n")
        method, path, version = first.split(" ")
        headers = {
            name.strip().lower(): value.strip().lower()
            for name, _, value in (line.partition(":") for line in lines)
        }
    except ValueError:
        raise ProtocolError("not an HTTP head") from None
    if version not in {"HTTP/1.0", "HTTP/1.1"} or "transfer-encoding" in headers:
        raise ProtocolError("not HTTP/1 with a Content-Length")
    length = headers.get("content-length", "0")
    if not length.isdigit() or len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
        raise ProtocolError(f"a body of more than {MAX_BODY} bytes")
    connection = headers.get("connection", "")
    # Dovecot's client takes authd for a proxy and sends the whole URL (RFC 9112 3.2.2).
    path = path.removeprefix("http://authd")
    return _Head(
        method=method,
        path=path,
        keep=connection == "keep-alive" or (version == "HTTP/1.1" and connection != "close"),
        length=int(length),
        expects=headers.get("expect", "") == "100-continue",
    )
