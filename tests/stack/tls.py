"""A self-signed certificate, made for each stack and trusted by its clients only.

With it the shipped submission service runs as shipped: passwords inside TLS only.
"""

import ssl
import subprocess
from pathlib import Path

from tests.stack import programs

NAME = "localhost"
_ADDRESS = "127.0.0.1"


def key_of(certificate: Path) -> Path:
    """Return where the key of *certificate* lies."""
    return certificate.with_suffix(".key")


def make(certificate: Path) -> None:
    """Write *certificate* and its key. An elliptic curve: RSA would cost 0.2 s."""
    subprocess.run(
        [programs.path("openssl"), "req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN={NAME}",
         "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-addext", f"subjectAltName=DNS:{NAME},IP:{_ADDRESS}",
         "-keyout", str(key_of(certificate)), "-out", str(certificate)],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip


def client(certificate: Path) -> ssl.SSLContext:
    """Return a context that trusts *certificate* and nothing else."""
    return ssl.create_default_context(cafile=str(certificate))
