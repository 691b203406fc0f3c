"""Both halves of the contract with Dovecot 2.3's checkpassword passdb.

In: ``name NUL password NUL timestamp NUL`` on descriptor 3, at most 512 bytes
(https://cr.yp.to/checkpwd/interface.html); Dovecot sends an empty timestamp and refuses
longer pairs itself. Anything else is the caller's mistake: `ProtocolError`, exit 2.
Out: an exit code, or the reply program with the account in its environment
(Dovecot's db-checkpassword.c).

Imported by a script that has no site-packages and a few milliseconds: no import here is
free, and this file needs `posix` alone.
"""

import posix

DESCRIPTOR = 3
MAX_BYTES = 512
FIELDS = 3

# Exit codes. Dovecot accepts 3 only as the answer to a lookup.
REJECTED = 1
MISUSED = 2
UNKNOWN = 3
TRY_LATER = 111
DIRECT_REJECTED = 41  # the "no" of dovecot_auth.checkpassword.direct, which Dovecot never sees

SECONDS = 10  # to answer; Dovecot itself would wait 180 s, a person does not

# What authd, or `direct` in its place, answers with.
OK = 200
REFUSED = 401
NO_SUCH_USER = 404
BLOCKED = 429

_DEFAULTS = {
    "--socket": "/run/gatepost/auth.sock",
    "--config": "/etc/gatepost/gatepost.toml",
    "--python": "/opt/gatepost/venv/bin/python",
}


class ProtocolError(Exception):
    """The caller does not speak the checkpassword protocol."""


class TryLater(Exception):  # noqa: N818 - an answer
    """The login cannot be decided now."""


def parse_arguments(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the options and the reply program to become; raise `ProtocolError`."""
    options = dict(_DEFAULTS)
    while arguments and arguments[0].startswith("--"):
        if arguments[0] not in options or len(arguments) < 2:  # noqa: PLR2004 - a name and a value
            raise ProtocolError(f"unknown option or missing value: {arguments[0]}")
        options[arguments[0]], arguments = arguments[1], arguments[2:]
    if not arguments:
        raise ProtocolError("no program to run after the check")
    return options, arguments


def read_descriptor() -> bytes:
    """Return the bytes on descriptor 3, at most one more than allowed."""
    raw = b""
    try:
        while len(raw) <= MAX_BYTES and (chunk := posix.read(DESCRIPTOR, MAX_BYTES + 1 - len(raw))):
            raw += chunk
    except OSError as error:
        raise ProtocolError(f"descriptor 3: {error.strerror}") from None
    return raw


def parse(raw: bytes) -> tuple[bytes, bytes]:
    """Return name and password as sent; they need not be UTF-8."""
    if len(raw) > MAX_BYTES:
        raise ProtocolError("more than 512 bytes on descriptor 3")
    fields = raw.split(b"\0")
    if len(fields) != FIELDS + 1 or fields[FIELDS]:
        raise ProtocolError("not three fields ending in NUL on descriptor 3")
    if not fields[0]:
        raise ProtocolError("an empty name on descriptor 3")
    return fields[0], fields[1]


def is_lookup() -> bool:
    """Return whether Dovecot looks a user up and sends no password."""
    if posix.environ.get(b"AUTHORIZED") != b"1":
        return False
    if b"CREDENTIALS_LOOKUP" in posix.environ:
        raise TryLater("only mechanisms that send the password are supported, such as PLAIN")
    return True


def is_vouched_for() -> bool:
    """Return whether this login only has to name an existing account.

    Dovecot has checked a master user's own password in another passdb and continues with
    this one (``result_success = continue``): it is not the account's password, and not a
    guess at it.
    """
    return b"MASTER_USER" in posix.environ


def origin() -> tuple[bytes, bytes]:
    """Return service and remote address, as Dovecot names them."""
    return posix.environ.get(b"SERVICE", b""), posix.environ.get(b"TCPREMOTEIP", b"")


def conclude(status: int, fields: dict[bytes, bytes], program: list[str], *, lookup: bool) -> int:
    """Become *program* on a yes, else return Dovecot's exit code."""
    if status == OK:
        posix.execve(program[0], program, _reply_environment(fields, lookup=lookup))
    if status in {REFUSED, NO_SUCH_USER} and not lookup:
        return REJECTED
    if status == NO_SUCH_USER and lookup:
        return UNKNOWN
    reason = fields.get(b"reason", b"no reason given").decode("utf-8", "replace")
    raise TryLater(f"the check answered {status}: {reason}")


def _reply_environment(fields: dict[bytes, bytes], *, lookup: bool) -> dict[bytes, bytes]:
    """Return the environment by which checkpassword-reply tells Dovecot about the user."""
    reply = {
        b"USER": fields[b"user"],
        b"HOME": fields[b"home"],
        b"userdb_uid": fields[b"uid"],
        b"userdb_gid": fields[b"gid"],
        b"userdb_quota_rule": b"*:bytes=" + fields[b"quota"],  # 0 is unlimited
        b"EXTRA": b"userdb_uid userdb_gid userdb_quota_rule",
    }
    if lookup:
        reply[b"AUTHORIZED"] = b"2"
    return posix.environ | reply


def complain(error: BaseException) -> None:
    """Write *error* to Dovecot's log; of a bug only what cannot hold user text."""
    is_ours = isinstance(error, ProtocolError | TryLater)
    text = str(error) if is_ours else getattr(error, "strerror", None) or ""
    posix.write(2, f"checkpassword: {type(error).__name__}: {text}\n".encode(errors="replace"))
