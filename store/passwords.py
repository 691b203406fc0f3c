"""Password hashes in Dovecot's own notation, ``{SCHEME[.HEX|.B64]}data``. Pure.

New hashes are ARGON2ID; every other scheme that a library or the standard library
computes is verified, and `needs_upgrade` says so. Dovecot's ``sql`` passdb could
read the same column. Trusts nobody: a stored hash may come from an import, so one
that would cost more than the ceilings below is refused like an unknown one.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import bcrypt
from argon2 import Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION, hash_secret, verify_secret

from store import libcrypt

# OWASP's floor: 18 ms and 19 MiB a check where the library's default takes 126 ms and 64 MiB.
MEMORY_KIB = 19 * 1024
TIME_COST = 2
PARALLELISM = 1
SALT_BYTES = 16
HASH_BYTES = 32
# One check of an imported hash costs at most about a second and 256 MiB, or it is refused:
# else one line of an import could stop all logins.
MAX_ARGON2_WORK = 512 * 1024  # KiB times passes: 0.5 s here
MAX_ARGON2_KIB = 256 * 1024
MAX_ARGON2_LANES = 8
MIN_BCRYPT_COST = 4  # bcrypt knows no less
MAX_BCRYPT_COST = 13
MAX_PBKDF2_ROUNDS = 1_000_000
MAX_CRYPT_ROUNDS = 700_000  # passlib's default is 656,000; a long password costs many times more
MAX_STORED = 512  # the column's width
# Neither reads further. The bcrypt library refuses what crypt(3), and so Dovecot, silently cuts.
BCRYPT_READS = 72
DES_READS = 8

_NOTATION = re.compile(r"\{([A-Za-z0-9-]+)(?:\.(HEX|B64|BASE64))?\}(.*)", re.DOTALL | re.IGNORECASE)
_CRYPT_ROUNDS = re.compile(r"\$[56]\$rounds=(\d+)\$")
# yescrypt's j9T is crypt's default, each letter after it doubles memory and time.
_CHEAP_CRYPT = re.compile(
    r"\$(?:1|[56](?:\$rounds=\d+)?)\$[^$]*\$[./0-9A-Za-z]+"
    r"|\$y\$j[0-9A-B]T\$[^$]+\$[./0-9A-Za-z]+"
    r"|[./0-9A-Za-z]{13}"
)


class UnknownScheme(ValueError):  # noqa: N818 - says what the hash is
    """The stored hash cannot be checked: scheme, form or cost. Never "wrong password"."""


@dataclass(frozen=True, slots=True)
class _Scheme:
    """How one scheme is checked: *matches* gets the password and the decoded data."""

    matches: Callable[[bytes, bytes], bool]
    form: Callable[[bytes], None] | None = None  # raises `UnknownScheme`; None: a check is cheap
    slow: bool = False  # by design; the rest is a digest or less
    encoded: bool = False  # digests are base64 or hex, the rest is text
    raw: int = 0  # bytes of an unsalted digest, which tells hex from base64 as Dovecot does


def hash_password(password: str) -> str:
    """Return a new ``{ARGON2ID}`` hash of *password*."""
    secret = unicodedata.normalize("NFC", password).encode("utf-8", "surrogateescape")
    salt = os.urandom(SALT_BYTES)
    encoded = hash_secret(secret, salt, TIME_COST, MEMORY_KIB, PARALLELISM, HASH_BYTES, Type.ID)
    return "{ARGON2ID}" + encoded.decode("ascii")


def verify(password: str, stored: str) -> bool:
    """Return whether *password* is the one of *stored*; raise `UnknownScheme`.

    A password is compared as Unicode (NFC), so that a phone and a laptop that
    compose é differently are one user; old hashes may be of the other form. Of an
    old and slow one only the form that came is checked, as Dovecot would: two checks
    would take twice the time, which tells that there is such a hash.
    """
    scheme, data = _parse(stored)
    forms = _forms(password)
    if scheme.slow and needs_upgrade(stored):
        forms = forms[-1:]
    return any(scheme.matches(form, data) for form in forms)


def needs_upgrade(stored: str) -> bool:
    """Return whether *stored* is not what `hash_password` would write today."""
    if not stored.startswith("{ARGON2ID}"):
        return True
    try:
        found = extract_parameters(stored.removeprefix("{ARGON2ID}"))
    except InvalidHashError:
        return True
    return (found.memory_cost, found.time_cost, found.parallelism) != (
        MEMORY_KIB,
        TIME_COST,
        PARALLELISM,
    )


def covers(password: str, stored: str) -> bool:
    """Return whether *stored*, which matches *password*, proves every byte of it.

    DES and bcrypt cut: behind what they read, a mistyped tail matches as well as the
    owner's, and a password that ends just there may be the head of a longer one.
    """
    scheme, data = _parse(stored)
    if scheme not in {_CRYPT, _BCRYPT}:
        return True
    if data.startswith(b"$2"):
        reads = BCRYPT_READS
    elif not data.startswith(b"$"):
        reads = DES_READS
    else:
        return True
    return all(len(form) < reads for form in _forms(password))


def check_form(stored: str) -> None:
    """Raise `UnknownScheme` for a hash that can never be checked: its scheme, form or cost."""
    scheme, data = _parse(stored)
    if scheme.form is not None:
        scheme.form(data)
    else:
        scheme.matches(b"", data)


def _forms(password: str) -> list[bytes]:
    """Return the bytes of *password*, composed and as it came, if they differ."""
    forms = dict.fromkeys((unicodedata.normalize("NFC", password), password))
    return [form.encode("utf-8", "surrogateescape") for form in forms]


def _parse(stored: str) -> tuple[_Scheme, bytes]:
    found = _NOTATION.fullmatch(stored)
    if not found or len(stored) > MAX_STORED:
        raise UnknownScheme("not of the form {SCHEME}hash")
    name, encoding, text = found[1].upper(), (found[2] or "").upper(), found[3]
    if name == "MD5":  # two things of one name; base64 has no $ (Dovecot's own rule)
        name = "MD5-CRYPT" if text.startswith("$1$") else "LDAP-MD5"
    scheme = _SCHEMES.get(name)
    if scheme is None:
        raise UnknownScheme(f"{{{name}}} is not a scheme gatepost can check")
    if not encoding and scheme.encoded:
        encoding = "HEX" if scheme.raw and len(text) == 2 * scheme.raw else "B64"
    if scheme is not _PLAIN and not text.isascii():
        raise UnknownScheme("a hash is ASCII")
    return scheme, _decoded(text, encoding)


def _decoded(text: str, encoding: str) -> bytes:
    try:
        if encoding == "HEX":
            return bytes.fromhex(text)
        if encoding:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise UnknownScheme(f"not {encoding} after the scheme") from None
    return text.encode()


def _argon2(*kinds: Type) -> _Scheme:
    def read(data: bytes) -> Type:
        try:
            found = extract_parameters(data.decode("ascii"))
        except (InvalidHashError, UnicodeDecodeError, ValueError):
            raise UnknownScheme("not an Argon2 hash") from None
        if found.type not in kinds or found.version > ARGON2_VERSION:
            raise UnknownScheme("another kind of Argon2 than its scheme says")
        if (
            found.memory_cost > MAX_ARGON2_KIB
            or found.memory_cost * found.time_cost > MAX_ARGON2_WORK
            or found.parallelism > MAX_ARGON2_LANES
        ):
            raise UnknownScheme("an Argon2 hash that costs too much to check")
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

    return _Scheme(matches, form, slow=True)


def _bcrypt_form(data: bytes) -> None:
    if not re.fullmatch(rb"\$2[abxy]\$\d\d\$[./0-9A-Za-z]{53}", data):
        raise UnknownScheme("not a bcrypt hash")
    if not MIN_BCRYPT_COST <= int(data[4:6]) <= MAX_BCRYPT_COST:
        raise UnknownScheme("a bcrypt hash of no cost, or one that costs too much to check")


def _bcrypt(secret: bytes, data: bytes) -> bool:
    _bcrypt_form(data)
    if b"\0" in secret:
        return False  # C strings end there; Dovecot's users cannot have one
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
        raise UnknownScheme("not a crypt(3) hash gatepost knows, or one that costs too much")


def _crypt(secret: bytes, data: bytes) -> bool:
    """Check whatever crypt(3) knows: $1$, $5$, $6$, $y$ and DES; $2…$ goes to bcrypt."""
    if data.startswith(b"$2"):
        return _bcrypt(secret, data)
    _crypt_form(data)
    if b"\0" in secret:
        return False  # C strings end there; Dovecot's users cannot have one
    try:
        computed = libcrypt.crypt(secret, data)
    except OSError as error:
        raise UnknownScheme(f"crypt(3): {error.strerror}") from None
    return hmac.compare_digest(computed, data)


def _digest(algorithm: str, *, salted: bool = False) -> _Scheme:
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size

    def matches(secret: bytes, data: bytes) -> bool:
        if len(data) < size or (len(data) > size) != salted:
            raise UnknownScheme(f"{len(data)} bytes where a {algorithm} digest has {size}")
        computed = hashlib.new(algorithm, secret + data[size:], usedforsecurity=False)
        return hmac.compare_digest(computed.digest(), data[:size])

    return _Scheme(matches, encoded=True, raw=0 if salted else size)


def _pbkdf2(secret: bytes, data: bytes) -> bool:
    """``$1$salt$rounds$hex``: PBKDF2-HMAC-SHA1, the salt taken as text."""
    found = re.fullmatch(rb"\$1\$([^$]*)\$(\d{1,9})\$([0-9A-Fa-f]{40})", data)
    if not found or not 0 < int(found[2]) <= MAX_PBKDF2_ROUNDS:
        raise UnknownScheme("not a PBKDF2 hash, or one that costs too much to check")
    computed = hashlib.pbkdf2_hmac("sha1", secret, found[1], int(found[2]))
    return hmac.compare_digest(computed, bytes.fromhex(found[3].decode()))


def _scram(algorithm: str) -> _Scheme:
    def matches(secret: bytes, data: bytes) -> bool:
        """``rounds,salt,StoredKey,ServerKey`` (RFC 5802 3), all but the first in base64."""
        found = re.fullmatch(rb"(\d{1,9}),([^,]+),([^,]+),[^,]+", data)
        if not found or not 0 < int(found[1]) <= MAX_PBKDF2_ROUNDS:
            raise UnknownScheme("not a SCRAM hash, or one that costs too much to check")
        salt, wanted = (
            _decoded(part.decode("ascii", "replace"), "B64") for part in found.group(2, 3)
        )
        salted = hashlib.pbkdf2_hmac(algorithm, secret, salt, int(found[1]))
        client = hmac.digest(salted, b"Client Key", algorithm)
        stored = hashlib.new(algorithm, client, usedforsecurity=False).digest()
        return hmac.compare_digest(stored, wanted)

    return _Scheme(matches, slow=True)


_PLAIN = _Scheme(hmac.compare_digest)
_CRYPT = _Scheme(_crypt, _crypt_form, slow=True)
_BCRYPT = _Scheme(_bcrypt, _bcrypt_form, slow=True)
_SCHEMES = {
    "ARGON2ID": _argon2(Type.ID),
    "ARGON2I": _argon2(Type.I),
    "ARGON2": _argon2(Type.ID, Type.I),  # Dovecot 2.4
    "BLF-CRYPT": _BCRYPT,
    "CRYPT": _CRYPT,
    "SHA512-CRYPT": _CRYPT,
    "SHA256-CRYPT": _CRYPT,
    "MD5-CRYPT": _CRYPT,
    "DES-CRYPT": _CRYPT,
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
    "PBKDF2": _Scheme(_pbkdf2, slow=True),
    "SCRAM-SHA-1": _scram("sha1"),
    "SCRAM-SHA-256": _scram("sha256"),
    "PLAIN": _PLAIN,
    "CLEAR": _PLAIN,
    "CLEARTEXT": _PLAIN,
}
SCHEMES = frozenset(_SCHEMES) | {"MD5"}

# Checked for a name that does not exist, so that the answer takes as long as for one that does.
DUMMY = (
    "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$rZvYG1ky9YBfkOpl+eyrCQ"
    "$K3EIRdlE8jSIVzk/Qme/x2v6iflsAbYcUJ79fV5P4z4"
)
