"""A private Dovecot that does nothing but check passwords, and clients that ask it."""

import base64
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stack import programs
from tests.stack.dovecot_release import release
from tests.stack.probes import answers
from tests.stack.process import Process

_HEAD = {
    "2.3": "protocols =\ndisable_plaintext_auth = no\nuserdb {\n  driver = prefetch\n}\n",
    "2.4": "dovecot_config_version = 2.4.1\ndovecot_storage_version = 2.4.1\n"
    "protocols =\nauth_allow_cleartext = yes\nuserdb prefetch {\n}\n",
}
_CONFIGURATION = """\
base_dir = {root}/run
state_dir = {root}/state
instance_name = {root.name}
log_path = {root}/dovecot.log
ssl = no
auth_mechanisms = plain
auth_failure_delay = 0
first_valid_uid = 1
{passdb}
service auth {{
  unix_listener {root}/login {{
    mode = 0666
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""
_SECONDS = 60


class Client:
    """One connection to Dovecot's auth process (auth-client protocol 1.2)."""

    def __init__(self, path: Path, number: int) -> None:
        """Connect and shake hands; *number* plays the process id, which must differ."""
        self._channel = socket.socket(socket.AF_UNIX)
        self._channel.settimeout(_SECONDS)
        self._channel.connect(str(path))
        self._lines = self._channel.makefile("rb")
        self._channel.sendall(f"VERSION\t1\t2\nCPID\t{number}\n".encode())
        while self._lines.readline() not in {b"DONE\n", b""}:
            pass
        self._last = 0

    def login(self, user: str, password: str) -> None:
        """Log in once; raise when Dovecot says anything but OK."""
        answer = self.ask(user, password)
        if not answer.startswith("OK\t"):
            raise RuntimeError(f"a right password was refused: {answer!r}")

    def ask(self, user: str, password: str) -> str:
        """Return Dovecot's answer to a login as the line it sends."""
        self._last += 1
        response = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        asked = f"AUTH\t{self._last}\tPLAIN\tservice=imap\tsecured\trip=192.0.2.7"
        self._channel.sendall(f"{asked}\tresp={response}\n".encode())
        return self._lines.readline().decode()

    def close(self) -> None:
        """End the connection."""
        self._lines.close()
        self._channel.close()


@contextmanager
def dovecot(root: Path, passdb: str) -> Iterator[Path]:
    """Run Dovecot with *passdb* in *root*; yield its auth socket."""
    for name in ("run", "state"):
        (root / name).mkdir(parents=True, exist_ok=True)
    conf = root / "dovecot.conf"
    conf.write_text(_HEAD[release()] + _CONFIGURATION.format(root=root, passdb=passdb))
    path = root / "login"
    process = Process(
        name="dovecot",
        command=[programs.path("dovecot"), "-F", "-c", str(conf)],
        log=root / "dovecot.start.log",
        ready=lambda: answers(path),
    )
    process.start()
    try:
        yield path
    finally:
        process.stop()


def logins_per_second(
    path: Path, *, clients: int, seconds: float, user: str, password: str
) -> tuple[float, float]:
    """Return logins/s of *clients* at once for *seconds*, and the median of one in ms."""
    times: list[float] = []
    errors: list[BaseException] = []
    end = time.perf_counter() + seconds

    def work(number: int) -> None:
        try:
            client = Client(path, os.getpid() * 100 + number)
            while time.perf_counter() < end:
                began = time.perf_counter()
                client.login(user, password)
                times.append(time.perf_counter() - began)
            client.close()
        except BaseException as error:  # noqa: BLE001 - reported by the main thread
            errors.append(error)

    began = time.perf_counter()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return len(times) / (time.perf_counter() - began), sorted(times)[len(times) // 2] * 1000
