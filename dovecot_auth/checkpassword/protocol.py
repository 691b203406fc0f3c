"""What a checkpassword program is given on file descriptor 3. Pure, standard library only.

``name NUL password NUL timestamp NUL``, at most 512 bytes in all
(https://cr.yp.to/checkpwd/interface.html); Dovecot sends an empty timestamp and
refuses longer pairs by itself. Whatever else comes is the caller's mistake:
`ProtocolError`, exit 2. Imported by a script that has no site-packages and a few
milliseconds: no import here is free.
"""

DESCRIPTOR = 3
MAX_BYTES = 512
FIELDS = 3


class ProtocolError(Exception):
    """The caller does not speak the checkpassword protocol."""


def parse(raw: bytes) -> tuple[bytes, bytes]:
    """Return name and password as they came; they need not be UTF-8."""
    if len(raw) > MAX_BYTES:
        raise ProtocolError("more than 512 bytes on descriptor 3")
    fields = raw.split(b"\0")
    if len(fields) != FIELDS + 1 or fields[FIELDS]:
        raise ProtocolError("not three fields ending in NUL on descriptor 3")
    if not fields[0]:
        raise ProtocolError("an empty name on descriptor 3")
    return fields[0], fields[1]
