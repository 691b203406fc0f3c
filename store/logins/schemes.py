"""Dovecot's password schemes, and how each verifies. Pure."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass

import bcrypt
from argon2 import Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION, verify_secret

from store.logins import libcrypt

# Verifying an imported hash may cost about a second and 256 MiB; a costlier one is rejected, or
# one line of an import could stop all logins.
MAX_ARGON2_WORK = 512 * 1024  # KiB times passes: 0.5 s here
MAX_ARGON2_KIB = 256 * 1024
MAX_ARGON2_LANES = 8
MIN_BCRYPT_COST = 4  # bcrypt's own minimum
MAX_BCRYPT_COST = 13
MAX_PBKDF2_ROUNDS = 1_000_000
MAX_CRYPT_ROUNDS = 700_000  # passlib's default is 656,000; a long password costs many times more
# Bytes that each reads. Past them, the bcrypt library raises where crypt(3), and so Dovecot,
# silently truncates.
BCRYPT_READS = 72
DES_READS = 8
_CRYPT_ROUNDS = re.compile(r"\$[56]\$rounds=(\d+)\$")
# yescrypt's default is j9T; each letter after 9 doubles memory and time.
_CHEAP_CRYPT = re.compile(
    r"\$(?:1|[56](?:\$rounds=\d+)?)\$[^$]*\$[./0-9A-Za-z]+"
    r"|\$y\$j[0-9A-B]T\$[^$]+\$[./0-9A-Za-z]+"
    r"|[./0-9A-Za-z]{13}"
)


class UnknownScheme(ValueError):  # noqa: N818 - names the problem
    """The stored hash cannot be verified: scheme, form or cost. Never "wrong password"."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """How one scheme verifies: *matches* gets the password and the decoded data."""

    matches: Callable[[bytes, bytes], bool]
    form: Callable[[bytes], None] | None = None  # raises `UnknownScheme`; None: `matches` is cheap
    slow: bool = False  # by design; the others are at most a digest
    encoded: bool = False  # digests are base64 or hex, the rest is text
    raw: int = 0  # bytes of an unsalted digest, which tells hex from base64 as Dovecot does


def decode(text: str, encoding: str) -> bytes:
    """Return the bytes of *text* in base64 or ``HEX``, or of plain text; raise `UnknownScheme`."""
    try:
        if encoding == "HEX":
            return bytes.fromhex(text)
        if encoding:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise UnknownScheme(f"not {encoding} after the scheme") from None
    return text.encode()


def _argon2(*kinds: Type) -> Scheme:
    def read(data: bytes) -> Type:
        try:
            found = extract_parameters(data.decode("ascii"))
        except (InvalidHashError, UnicodeDecodeError, ValueError):
            raise UnknownScheme("not an Argon2 hash") from None
        if found.type not in kinds or found.version > ARGON2_VERSION:
            raise UnknownScheme("not the variant of Argon2 that its scheme names")
        if (
            found.memory_cost > MAX_ARGON2_KIB
            or found.memory_cost * found.time_cost > MAX_ARGON2_WORK
            or found.parallelism > MAX_ARGON2_LANES
        ):
            raise UnknownScheme("an Argon2 hash that costs too much to verify")
        return found.type

    def form(data: bytes) -> None:
        read(data)

    def matches(secret: bytes, data: bytes) -> bool:
        try:
            return verify_secret(data, secret, read(data))
        except VerificationError as error:
            if "match" in str(error):
                return False
            raise UnknownScheme(f"Argon2: {error}") from None

    return Scheme(matches, form, slow=True)


def _bcrypt_form(data: bytes) -> None:
    if not re.fullmatch(rb"\$2[abxy]\$\d\d\$[./0-9A-Za-z]{53}", data):
        raise UnknownScheme("not a bcrypt hash")
    if not MIN_BCRYPT_COST <= int(data[4:6]) <= MAX_BCRYPT_COST:
        raise UnknownScheme(
            "a bcrypt hash without a valid cost, or one that costs too much to verify"
        )


def _bcrypt(secret: bytes, data: bytes) -> bool:
    _bcrypt_form(data)
    if b"\0" in secret:
        return False  # C strings end at NUL, so no user of Dovecot can have one
    try:
        return bcrypt.checkpw(secret[:BCRYPT_READS], data)
    except ValueError as error:
        raise UnknownScheme(f"bcrypt: {error}") from None


def _crypt_form(data: bytes) -> None:
    text = data.decode("ascii", "replace")
    if text.startswith("$2"):
        _bcrypt_form(data)
        return
    rounds = _CRYPT_ROUNDS.match(text)
    if not _CHEAP_CRYPT.fullmatch(text) or (rounds and int(rounds[1]) > MAX_CRYPT_ROUNDS):
        raise UnknownScheme(
            "not a crypt(3) hash that gatepost knows, or one that costs too much to verify"
        )


def _crypt(secret: bytes, data: bytes) -> bool:
    """Verify by crypt(3): $1$, $5$, $6$, $y$ and DES; $2…$ goes to bcrypt."""
    if data.startswith(b"$2"):
        return _bcrypt(secret, data)
    _crypt_form(data)
    if b"\0" in secret:
        return False  # C strings end at NUL, so no user of Dovecot can have one
    try:
        computed = libcrypt.crypt(secret, data)
    except OSError as error:
        raise UnknownScheme(f"crypt(3): {error.strerror}") from None
    return hmac.compare_digest(computed, data)


def _digest(algorithm: str, *, salted: bool = False) -> Scheme:
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size

    def matches(secret: bytes, data: bytes) -> bool:
        if len(data) < size or (len(data) > size) != salted:
            raise UnknownScheme(f"{len(data)} bytes where a {algorithm} digest has {size}")
        computed = hashlib.new(algorithm, secret + data[size:], usedforsecurity=False)
        return hmac.compare_digest(computed.digest(), data[:size])

    return Scheme(matches, encoded=True, raw=0 if salted else size)


def _pbkdf2(secret: bytes, data: bytes) -> bool:
    """``$1$salt$rounds$hex``: PBKDF2-HMAC-SHA1, the salt taken as text."""
    found = re.fullmatch(rb"\$1\$([^$]*)\$(\d{1,9})\$([0-9A-Fa-f]{40})", data)
    if not found or not 0 < int(found[2]) <= MAX_PBKDF2_ROUNDS:
        raise UnknownScheme("not a PBKDF2 hash, or one that costs too much to verify")
    computed = hashlib.pbkdf2_hmac("sha1", secret, found[1], int(found[2]))
    return hmac.compare_digest(computed, bytes.fromhex(found[3].decode()))


def _scram(algorithm: str) -> Scheme:
    def matches(secret: bytes, data: bytes) -> bool:
        """``rounds,salt,StoredKey,ServerKey`` (RFC 5802 3), all but the first in base64."""
        found = re.fullmatch(rb"(\d{1,9}),([^,]+),([^,]+),[^,]+", data)
        if not found or not 0 < int(found[1]) <= MAX_PBKDF2_ROUNDS:
            raise UnknownScheme("not a SCRAM hash, or one that costs too much to verify")
        salt, wanted = (
            decode(part.decode("ascii", "replace"), "B64") for part in found.group(2, 3)
        )
        salted = hashlib.pbkdf2_hmac(algorithm, secret, salt, int(found[1]))
        client = hmac.digest(salted, b"Client Key", algorithm)
        stored = hashlib.new(algorithm, client, usedforsecurity=False).digest()
        return hmac.compare_digest(stored, wanted)

    return Scheme(matches, slow=True)


PLAIN = Scheme(hmac.compare_digest)
CRYPT = Scheme(_crypt, _crypt_form, slow=True)
BCRYPT = Scheme(_bcrypt, _bcrypt_form, slow=True)
SCHEMES = {
    "ARGON2ID": _argon2(Type.ID),
    "ARGON2I": _argon2(Type.I),
    "ARGON2": _argon2(Type.ID, Type.I),  # Dovecot 2.4
    "BLF-CRYPT": BCRYPT,
    "CRYPT": CRYPT,
    "SHA512-CRYPT": CRYPT,
    "SHA256-CRYPT": CRYPT,
    "MD5-CRYPT": CRYPT,
    "DES-CRYPT": CRYPT,
    "SSHA512": _digest("sha512", salted=True),
    "SSHA256": _digest("sha256", salted=True),
    "SSHA": _digest("sha1", salted=True),
    "SMD5": _digest("md5", salted=True),
    "SHA512": _digest("sha512"),
    "SHA256": _digest("sha256"),
    "SHA": _digest("sha1"),
    "SHA1": _digest("sha1"),
    "LDAP-MD5": _digest("md5"),
    "PLAIN-MD5": _digest("md5"),
    "PBKDF2": Scheme(_pbkdf2, slow=True),
    "SCRAM-SHA-1": _scram("sha1"),
    "SCRAM-SHA-256": _scram("sha256"),
    "PLAIN": PLAIN,
    "CLEAR": PLAIN,
    "CLEARTEXT": PLAIN,
}
