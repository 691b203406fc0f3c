"""The login script's work: ask authd, and become Dovecot's reply program on a yes.

    [--socket PATH] [--config FILE] [--python PATH] PROGRAM [ARGUMENT]…

Runs once a login, so it imports only what is built into the interpreter and works in
bytes: ``os`` alone would cost 0.9 ms of CPU a login, ``socket`` 8. Every failure
of its own leaves as exit code 111.

While authd is unavailable, one script at a time checks its login itself (`fallback`).
The others keep retrying: a restarted authd serves them sooner than 200 interpreters
that each load SQLAlchemy would.
"""

import _signal  # signal would cost the import of enum, 3 ms
import _socket
import sys
import time

from dovecot_auth.checkpassword import protocol

RETRY_SECONDS = 8.0  # then 111, well before the alarm
PAUSE_SECONDS = 0.1
MAX_ANSWER = 16 * 1024  # bytes; authd sends a few hundred


class Unavailable(Exception):  # noqa: N818 - a state of the world, not a mistake
    """Nothing answers on authd's socket, or the answer was cut off."""


def main() -> int:
    """Answer Dovecot: become the reply program, or return an exit code."""
    try:
        _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
        _signal.alarm(protocol.SECONDS)
        options, program = protocol.parse_arguments(sys.argv[1:])
        raw = protocol.read_descriptor()
        name, password = protocol.parse(raw)
        lookup = protocol.is_lookup()
        if not lookup and not password:
            return protocol.REJECTED  # no account has an empty password, whatever the store says
        request = _form(name, None if lookup or protocol.is_vouched_for() else password)
        return _answer(options, program, raw, request)
    except protocol.ProtocolError as error:
        protocol.complain(error)
        return protocol.MISUSED
    except BaseException as error:  # noqa: BLE001 - last line of defence: 1 would be a lie
        protocol.complain(error)
        return protocol.TRY_LATER


def _answer(options: dict[str, str], program: list[str], raw: bytes, request: bytes) -> int:
    """Ask authd until it answers, or check without it when this script gets the lock."""
    deadline = time.monotonic() + RETRY_SECONDS
    while time.monotonic() < deadline:
        try:
            status, fields = _ask(options["--socket"], request)
        except Unavailable:
            # Only here: a login with authd needs none of it.
            from dovecot_auth.checkpassword import fallback

            code = fallback.check(options, program, raw)
            if code is not None:
                return code
            time.sleep(PAUSE_SECONDS)
        else:
            return protocol.conclude(status, fields, program, lookup=protocol.is_lookup())
    raise protocol.TryLater("authd is unavailable, and other logins are checked without it first")


def _form(name: bytes, password: bytes | None) -> bytes:
    """Return the HTTP request: a lookup, or with a *password* a login.

    Every byte of a value is escaped, so none can end it.
    """
    service, remote = protocol.origin()
    body = f"user={_escape(name)}&service={_escape(service)}"
    if password is not None:
        body += f"&password={_escape(password)}&remote={_escape(remote)}"
    path = "/user" if password is None else "/verify"
    return (
        f"POST {path} HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode("ascii")


def _escape(value: bytes) -> str:
    return "%" + value.hex("%") if value else ""


def _ask(path: str, request: bytes) -> tuple[int, dict[bytes, bytes]]:
    """Return status and fields from authd on the unix socket *path*; raise `Unavailable`."""
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    raw = b""
    try:
        channel.connect(path)
        channel.sendall(request)
        # authd ends every body with an empty line, and nothing else with two line feeds.
        while not raw.endswith(b"\n\n") and len(raw) <= MAX_ANSWER:
            if not (chunk := channel.recv(MAX_ANSWER)):
                raise Unavailable  # the answer was cut off
            raw += chunk
    except PermissionError:
        raise  # no retry: we are locked out and will stay so
    except OSError:
        raise Unavailable from None
    finally:
        channel.close()
    return _parse(raw)


def _parse(raw: bytes) -> tuple[int, dict[bytes, bytes]]:
    head, _, body = raw.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit() or not body.endswith(b"\n\n"):  # noqa: PLR2004 - HTTP/1.0 200
        raise Unavailable
    lines = body.split(b"\n")
    return int(words[1]), dict(line.split(b"=", 1) for line in lines if b"=" in line)
