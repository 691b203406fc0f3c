"""What checkpassword.py does: ask authd, and become Dovecot's reply program on a yes.

    [--socket PATH] [--config FILE] [--python PATH] PROGRAM [ARGUMENT]…

Runs once a login, so it imports only what is built into the interpreter, and works in
bytes: ``os`` alone would cost 0.9 ms of processor a login, ``socket`` 8. Every
failure of ours leaves as 111.

While authd is away, one script at a time checks by itself (`fallback.py`); the
others go on knocking, since a restarted authd serves them sooner than 200
interpreters that load SQLAlchemy would.
"""

import _signal  # signal would cost the import of enum, 3 ms
import _socket
import posix
import sys
import time

from dovecot_auth.checkpassword import protocol

# The contract with Dovecot 2.3 (its db-checkpassword.c). 3 answers a lookup only.
REJECTED = 1
MISUSED = 2
UNKNOWN = 3
TRY_LATER = 111
DIRECT_REJECTED = 41  # the "no" of dovecot_auth.checkpassword.direct, which Dovecot never sees

SECONDS = 10  # Dovecot itself would wait 180 s; a person does not
RETRY_SECONDS = 8.0  # then 111, well before the alarm
PAUSE_SECONDS = 0.1
MAX_ANSWER = 16 * 1024  # authd says a few hundred bytes
OK = 200
REFUSED = 401
NOBODY = 404

_DEFAULTS = {
    "--socket": "/run/gatepost/auth.sock",
    "--config": "/etc/gatepost/gatepost.toml",
    "--python": "/opt/gatepost/venv/bin/python",
}


class Away(Exception):  # noqa: N818 - a state of the world, not a mistake
    """Nobody answers on authd's socket, or the answer was cut off."""


class TryLater(Exception):  # noqa: N818 - an answer
    """The question cannot be answered now."""


def main() -> int:
    """Answer Dovecot: become the reply program, or return an exit code."""
    try:
        _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
        _signal.alarm(SECONDS)
        options, program = parse_arguments(sys.argv[1:])
        raw = read_descriptor()
        name, password = protocol.parse(raw)
        lookup = is_lookup()
        if not lookup and not password:
            return REJECTED  # an empty password is nobody's, whatever the store says
        asked = _form(name, None if lookup or is_vouched_for() else password)
        return _answered(options, program, raw, asked)
    except protocol.ProtocolError as error:
        complain(error)
        return MISUSED
    except BaseException as error:  # noqa: BLE001 - last line of defence: 1 would be a lie
        complain(error)
        return TRY_LATER


def parse_arguments(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return our options and the program to become; raise `ProtocolError`."""
    options = dict(_DEFAULTS)
    while arguments and arguments[0].startswith("--"):
        if arguments[0] not in options or len(arguments) < 2:  # noqa: PLR2004 - a name and a value
            raise protocol.ProtocolError(f"unknown option or no value: {arguments[0]}")
        options[arguments[0]], arguments = arguments[1], arguments[2:]
    if not arguments:
        raise protocol.ProtocolError("no program to run after the check")
    return options, arguments


def read_descriptor() -> bytes:
    """Return what stands on descriptor 3, one byte more than allowed at most."""
    raw = b""
    try:
        while len(raw) <= protocol.MAX_BYTES and (
            chunk := posix.read(protocol.DESCRIPTOR, protocol.MAX_BYTES + 1 - len(raw))
        ):
            raw += chunk
    except OSError as error:
        raise protocol.ProtocolError(f"descriptor 3: {error.strerror}") from None
    return raw


def is_lookup() -> bool:
    """Return whether Dovecot wants to know the user, and brings no password."""
    if posix.environ.get(b"AUTHORIZED") != b"1":
        return False
    if b"CREDENTIALS_LOOKUP" in posix.environ:
        raise TryLater("only mechanisms that send the password can be served: plain login")
    return True


def is_vouched_for() -> bool:
    """Return whether Dovecot only wants to know that the person exists, although it logs in.

    It has checked a master user's own password in another passdb and goes on to ours
    (``result_success = continue``) with it: not the person's, and no guess at it.
    """
    return b"MASTER_USER" in posix.environ


def origin() -> tuple[bytes, bytes]:
    """Return service and remote address, as Dovecot names them."""
    return posix.environ.get(b"SERVICE", b""), posix.environ.get(b"TCPREMOTEIP", b"")


def conclude(status: int, fields: dict[bytes, bytes], program: list[str], *, lookup: bool) -> int:
    """Become *program* on a yes, else return Dovecot's exit code."""
    if status == OK:
        posix.execve(program[0], program, reply_environment(fields, lookup=lookup))
    if status in {REFUSED, NOBODY} and not lookup:
        return REJECTED
    if status == NOBODY and lookup:
        return UNKNOWN
    reason = fields.get(b"reason", b"no reason given").decode("utf-8", "replace")
    raise TryLater(f"the check answered {status}: {reason}")


def reply_environment(fields: dict[bytes, bytes], *, lookup: bool) -> dict[bytes, bytes]:
    """Return the environment in which checkpassword-reply tells Dovecot about the user."""
    told = {
        b"USER": fields[b"user"],
        b"HOME": fields[b"home"],
        b"userdb_uid": fields[b"uid"],
        b"userdb_gid": fields[b"gid"],
        b"userdb_quota_rule": b"*:bytes=" + fields[b"quota"],  # 0 is unlimited
        b"EXTRA": b"userdb_uid userdb_gid userdb_quota_rule",
    }
    if lookup:
        told[b"AUTHORIZED"] = b"2"
    return posix.environ | told


def complain(error: BaseException) -> None:
    """Tell Dovecot's log; of an exception of ours only what cannot hold user text."""
    ours = isinstance(error, protocol.ProtocolError | TryLater)
    text = str(error) if ours else getattr(error, "strerror", None) or ""
    posix.write(2, f"checkpassword: {type(error).__name__}: {text}\n".encode(errors="replace"))


def _answered(options: dict[str, str], program: list[str], raw: bytes, request: bytes) -> int:
    """Ask authd until it answers, or check without it when it is our turn."""
    deadline = time.monotonic() + RETRY_SECONDS
    while time.monotonic() < deadline:
        try:
            status, fields = _ask(options["--socket"], request)
        except Away:
            from dovecot_auth.checkpassword import (
                fallback,
            )  # only here: logins with authd need none of it

            code = fallback.checked(options, program, raw)
            if code is not None:
                return code
            time.sleep(PAUSE_SECONDS)
        else:
            return conclude(status, fields, program, lookup=is_lookup())
    raise TryLater("authd is away, and others wait already to check without it")


def _form(name: bytes, password: bytes | None) -> bytes:
    """Return the HTTP request: a look-up, or with a *password* a login.

    Every byte of a value is escaped, so none can end it.
    """
    service, remote = origin()
    body = f"user={_escaped(name)}&service={_escaped(service)}"
    if password is not None:
        body += f"&password={_escaped(password)}&remote={_escaped(remote)}"
    path = "/user" if password is None else "/verify"
    return (
        f"POST {path} HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode("ascii")


def _escaped(value: bytes) -> str:
    return "%" + value.hex("%") if value else ""


def _ask(path: str, request: bytes) -> tuple[int, dict[bytes, bytes]]:
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    raw = b""
    try:
        channel.connect(path)
        channel.sendall(request)
        # authd ends every body with an empty line, and nothing else with two line feeds.
        while not raw.endswith(b"\n\n") and len(raw) <= MAX_ANSWER:
            if not (chunk := channel.recv(MAX_ANSWER)):
                raise Away  # the answer was cut off
            raw += chunk
    except PermissionError:
        raise  # not away: locked out, and so it will stay
    except OSError:
        raise Away from None
    finally:
        channel.close()
    return _parsed(raw)


def _parsed(raw: bytes) -> tuple[int, dict[bytes, bytes]]:
    head, _, body = raw.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit() or not body.endswith(b"\n\n"):  # noqa: PLR2004 - HTTP/1.0 200
        raise Away
    lines = body.split(b"\n")
    return int(words[1]), dict(line.split(b"=", 1) for line in lines if b"=" in line)
