"""A private OpenDKIM: signs what local users send, verifies what others signed, asks no DNS.

``TestPublicKeys`` gives the keys that a verifier would find in DNS.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stack import programs
from tests.stack.folder import create
from tests.stack.ports import HOST, free_port
from tests.stack.probes import listens
from tests.stack.process import Process

USER = "opendkim"
SELECTOR = "test"
# Ours, and that of a university elsewhere, for which nobody signs but a test.
OURS, ELSEWHERE = "mail.example.edu", "elsewhere.example"
SIGNER = """\
Mode sv
Socket inet:{port}@{host}
UserID {user}
PidFile {folder}/pid
Domain {ours}
KeyFile {folder}/{ours}.key
Selector {selector}
# Every client of the tests is on loopback, which would be internal; ours are those who sign in.
InternalHosts 192.0.2.255
MacroList {{auth_authen}}
RequireSafeKeys no
AuthservID mx.example.edu
TestPublicKeys {folder}/public
"""


class OpenDKIM:
    """The server and its keys, and how to sign and verify without it."""

    def __init__(self, folder: Path) -> None:
        """Make keys and configuration in *folder*; nothing runs yet."""
        self._folder = folder
        self._port = free_port()
        published = "".join(_make_key(folder, domain) for domain in (OURS, ELSEWHERE))
        (folder / "public").write_text(published)
        shutil.chown(folder / f"{OURS}.key", user=USER)
        values = {"port": self._port, "host": HOST, "user": USER, "ours": OURS}
        text = SIGNER.format(folder=folder, selector=SELECTOR, **values)
        (folder / "signer.conf").write_text(text)
        (folder / "verifier.conf").write_text(f"Mode v\nTestPublicKeys {folder}/public\n")
        self.process = Process(
            name="opendkim",
            command=[programs.path("opendkim"), "-f", "-x", str(folder / "signer.conf")],
            log=folder / "log",
            ready=lambda: listens(self._port),
        )

    @property
    def milter(self) -> str:
        """Return what main.cf calls it."""
        return f"inet:{HOST}:{self._port}"

    def signed(self, message: bytes) -> bytes:
        """Return *message* as the university elsewhere sends it."""
        program = programs.path("opendkim-testmsg")
        words = ["-d", ELSEWHERE, "-k", f"{self._folder}/{ELSEWHERE}.key", "-s", SELECTOR]
        done = subprocess.run(
            [program, "-C", *words], input=message, capture_output=True, check=True
        )
        return done.stdout.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    def verified(self, message: bytes) -> str:
        """Return what a verifier elsewhere says of *message*, in OpenDKIM's words."""
        path = self._folder / "message.eml"
        path.write_bytes(message)
        command = [programs.path("opendkim"), "-x", f"{self._folder}/verifier.conf", "-t"]
        done = subprocess.run([*command, str(path)], capture_output=True, check=True)
        return (done.stdout + done.stderr).decode().partition(": ")[2]


def _make_key(folder: Path, domain: str) -> str:
    """Make a key pair; return the line that DNS would have."""
    openssl = programs.path("openssl")
    key = folder / f"{domain}.key"
    subprocess.run([openssl, "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    key.chmod(0o600)
    command = [openssl, "rsa", "-in", str(key), "-pubout"]
    pem = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    public = "".join(pem.splitlines()[1:-1])
    return f"{SELECTOR}._domainkey.{domain} v=DKIM1; k=rsa; p={public}\n"


@contextmanager
def running() -> Iterator[OpenDKIM]:
    """Yield a running server; it and its folder go afterwards."""
    folder = create("gatepost-opendkim-")
    try:
        shutil.chown(folder, user=USER)
        server = OpenDKIM(folder)
        server.process.start()
        try:
            yield server
        finally:
            server.process.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
