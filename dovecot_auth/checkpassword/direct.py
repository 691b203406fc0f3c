"""``python -I -m dovecot_auth.checkpassword.direct``: check one login without authd.

Started by `fallback` while authd is unavailable: the same input on descriptor 3, the
same answers, 0.4 s a login instead of 10 ms. Its "no" is an exit code that no accident
produces. Old hashes are left for authd to upgrade.
"""

import signal
import sys
import time
from pathlib import Path

from config.loader import load
from dovecot_auth.check import Checker
from dovecot_auth.checkpassword import protocol
from dovecot_auth.verdict import REFUSAL_SECONDS, Allowed, Blocked, Login
from store.engine import Store


def main() -> int:
    """Become the reply program, or return an exit code for `fallback`."""
    try:
        signal.alarm(protocol.SECONDS)
        options, program = protocol.parse_arguments(sys.argv[1:])
        pair = protocol.parse(protocol.read_descriptor())
        name, password = (part.decode("utf-8", "surrogateescape") for part in pair)
        lookup = protocol.is_lookup()
        settings = load(Path(options["--config"]))
        checker = Checker(Store(settings.store.url), settings)
        if lookup or protocol.is_vouched_for():
            status, fields = _look_up(checker, name)
        else:
            status, fields = _verify(checker, name, password)
        reply = {_bytes(key): _bytes(value) for key, value in fields.items()}
        code = protocol.conclude(status, reply, program, lookup=lookup)
    except BaseException as error:  # noqa: BLE001 - last line of defence
        protocol.complain(error)
        return protocol.TRY_LATER
    return protocol.DIRECT_REJECTED if code == protocol.REJECTED else code


def _verify(checker: Checker, name: str, password: str) -> tuple[int, dict[str, str]]:
    began = time.monotonic()
    service, remote = (part.decode("utf-8", "surrogateescape") for part in protocol.origin())
    answer = checker.verify(Login(name, password, service, remote)).answer
    if isinstance(answer, Allowed):
        return protocol.OK, answer.fields()
    time.sleep(max(0, began + REFUSAL_SECONDS - time.monotonic()))
    if isinstance(answer, Blocked):
        return protocol.BLOCKED, {"reason": "too many wrong passwords"}
    return protocol.REFUSED, {}


def _look_up(checker: Checker, name: str) -> tuple[int, dict[str, str]]:
    account = checker.lookup(name)
    return (protocol.OK, account.fields()) if account else (protocol.NO_SUCH_USER, {})


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


if __name__ == "__main__":
    sys.exit(main())
