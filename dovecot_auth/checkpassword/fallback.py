"""Logins without authd: one script at a time has `direct` check its login, as a child.

Standard library only, and loaded only when authd does not answer.
"""

import fcntl
import os

from dovecot_auth.checkpassword import protocol


def check(options: dict[str, str], program: list[str], raw: bytes) -> int | None:
    """Have `dovecot_auth.checkpassword.direct` check; ``None`` while another process does.

    The lock is on the configuration, which must be readable here anyway. It is a child
    because exit code 1 may come from anything (no such module, no memory); only a code
    that nothing else uses is its "no".
    """
    lock = os.open(options["--config"], os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    child = os.fork()
    if child == 0:
        _run_direct(options, program, raw)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == protocol.DIRECT_REJECTED:
        return protocol.REJECTED
    # checkpassword-reply ends with 0 after a login, with 2 after a lookup.
    return code if code in {0, protocol.MISUSED, protocol.UNKNOWN} else protocol.TRY_LATER


def _run_direct(options: dict[str, str], program: list[str], raw: bytes) -> None:
    """Become `direct`, with *raw* on descriptor 3; never return."""
    try:
        readable, writable = os.pipe()
        os.write(writable, raw)  # at most 512 bytes: a pipe holds them
        os.close(writable)
        os.dup2(readable, protocol.DESCRIPTOR)
        python, config = options["--python"], options["--config"]
        command = [python, "-I", "-m", "dovecot_auth.checkpassword.direct", "--config", config]
        os.execve(python, [*command, *program], os.environ)  # noqa: S606 - no shell is intended
    except BaseException as error:  # noqa: BLE001 - the child must not go on as its parent
        protocol.complain(error)
    finally:
        os._exit(protocol.TRY_LATER)
