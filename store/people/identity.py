"""Identity documents: the initial password made from them, and their keyed hash (R3, R6).

The number itself is never stored, logged or shown. The key is in a file apart
from the store (`site.key_file`), so that a stolen database cannot be searched
for national IDs, of which there are too few for an unkeyed hash.
"""

import hashlib
import hmac
import os
import secrets
import unicodedata
from pathlib import Path

KEY_BYTES = 32
MAX_IDENTITY = 64  # no identity document has a longer number


class KeyFileError(Exception):
    """The key file is missing or unusable; the text names the file and the cure."""


def normalise(identity: str) -> str:
    """Return *identity* in one spelling: in upper case, without spaces and punctuation.

    Raises ``ValueError`` for what cannot be an identity number.
    """
    text = unicodedata.normalize("NFKC", identity)
    kept = "".join(c for c in text if not c.isspace() and c not in "-./").upper()
    if not kept or len(kept) > MAX_IDENTITY or not kept.isascii() or not kept.isalnum():
        raise ValueError(f"an identity number is 1 to {MAX_IDENTITY} letters and digits")
    return kept


def keyed_hash(identity: str, key: bytes) -> str:
    """Return the hash of *identity* that the store keeps."""
    digest = hmac.new(key, b"identity:" + normalise(identity).encode(), hashlib.sha256)
    return digest.hexdigest()


def matches(identity: str, stored: str | None, key: bytes) -> bool:
    """Return whether *identity* is the one behind *stored*, in constant time."""
    return hmac.compare_digest(keyed_hash(identity, key), stored or "")


def load_key(path: str) -> bytes:
    """Return the key in *path*; raise `KeyFileError`."""
    try:
        key = bytes.fromhex(Path(path).read_text(encoding="ascii").strip())
    except FileNotFoundError:
        raise KeyFileError(f"{path}: no such file; `gatepost db upgrade` creates it") from None
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path}: cannot be used: {error}") from None
    if len(key) < KEY_BYTES:
        raise KeyFileError(f"{path}: shorter than {KEY_BYTES} bytes in hexadecimal")
    return key


def make_key(path: str) -> bool:
    """Create *path* with a new key unless it exists; return whether it was created."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    except FileExistsError:
        return False
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be created: {error.strerror}") from None
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return True
