"""Password hashes in Dovecot's own notation, ``{SCHEME[.HEX|.B64]}data``. Pure.

New hashes are ARGON2ID. Hashes of all schemes in `store.logins.schemes` are verified, and
`needs_upgrade` tells which to replace. Dovecot's ``sql`` passdb could read the same column. A
stored hash may come from an import and is not trusted: one that would cost more than the
ceilings of `store.logins.schemes` is rejected like an unknown one.
"""

import os
import re
import unicodedata

from argon2 import Type, extract_parameters
from argon2.exceptions import InvalidHashError
from argon2.low_level import hash_secret

from store.logins.schemes import (
    BCRYPT,
    BCRYPT_READS,
    CRYPT,
    DES_READS,
    PLAIN,
    SCHEMES,
    Scheme,
    UnknownScheme,
    decode,
)

# OWASP's floor: 18 ms and 19 MiB a check where the library's default takes 126 ms and 64 MiB.
MEMORY_KIB = 19 * 1024
TIME_COST = 2
PARALLELISM = 1
SALT_BYTES = 16
HASH_BYTES = 32
MAX_STORED = 512  # the column's width

_NOTATION = re.compile(r"\{([A-Za-z0-9-]+)(?:\.(HEX|B64|BASE64))?\}(.*)", re.DOTALL | re.IGNORECASE)


def hash_password(password: str) -> str:
    """Return a new ``{ARGON2ID}`` hash of *password*."""
    secret = unicodedata.normalize("NFC", password).encode("utf-8", "surrogateescape")
    salt = os.urandom(SALT_BYTES)
    encoded = hash_secret(secret, salt, TIME_COST, MEMORY_KIB, PARALLELISM, HASH_BYTES, Type.ID)
    return "{ARGON2ID}" + encoded.decode("ascii")


def verify(password: str, stored: str) -> bool:
    """Return whether *password* matches *stored*; raise `UnknownScheme`.

    Passwords are compared in NFC, so that a phone and a laptop may compose é differently; old
    hashes may be of the other form, which is tried too. For an old, slow hash only the form
    received is checked, as Dovecot does: two checks would take twice as long, which would
    reveal such a hash.
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

    DES and bcrypt ignore everything past a limit. Beyond it a mistyped ending matches too, and a
    password that ends exactly there may be the beginning of a longer one.
    """
    scheme, data = _parse(stored)
    if scheme not in {CRYPT, BCRYPT}:
        return True
    if data.startswith(b"$2"):
        reads = BCRYPT_READS
    elif not data.startswith(b"$"):
        reads = DES_READS
    else:
        return True
    return all(len(form) < reads for form in _forms(password))


def check_hash(stored: str) -> None:
    """Raise `UnknownScheme` if *stored* can never be verified: its scheme, form or cost."""
    scheme, data = _parse(stored)
    if scheme.form is not None:
        scheme.form(data)
    else:
        scheme.matches(b"", data)


def _forms(password: str) -> list[bytes]:
    """Return the bytes of *password* in NFC and, if different, as received."""
    forms = dict.fromkeys((unicodedata.normalize("NFC", password), password))
    return [form.encode("utf-8", "surrogateescape") for form in forms]


def _parse(stored: str) -> tuple[Scheme, bytes]:
    found = _NOTATION.fullmatch(stored)
    if not found or len(stored) > MAX_STORED:
        raise UnknownScheme("not of the form {SCHEME}hash")
    name, encoding, text = found[1].upper(), (found[2] or "").upper(), found[3]
    if name == "MD5":  # one name for two schemes; base64 has no $ (Dovecot's own rule)
        name = "MD5-CRYPT" if text.startswith("$1$") else "LDAP-MD5"
    scheme = SCHEMES.get(name)
    if scheme is None:
        raise UnknownScheme(f"{{{name}}} is not a scheme that gatepost can verify")
    if not encoding and scheme.encoded:
        encoding = "HEX" if scheme.raw and len(text) == 2 * scheme.raw else "B64"
    if scheme is not PLAIN and not text.isascii():
        raise UnknownScheme("a hash is ASCII")
    return scheme, decode(text, encoding)


# Verified for unknown names, so that their refusal takes as long as that of an account.
DUMMY = (
    "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$rZvYG1ky9YBfkOpl+eyrCQ"
    "$K3EIRdlE8jSIVzk/Qme/x2v6iflsAbYcUJ79fV5P4z4"
)
