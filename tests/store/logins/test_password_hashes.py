"""Hashes of every scheme, checked in both directions against the real ``doveadm pw``."""

import base64
import contextlib
import hashlib
import os
import shutil
import subprocess
import time
import unicodedata

import bcrypt
import pytest
from argon2 import PasswordHasher
from hypothesis import given, settings
from hypothesis import strategies as st

from store.logins import libcrypt, password_hashes, schemes
from store.logins.password_hashes import check_hash, hash_password, needs_upgrade, verify
from store.logins.schemes import UnknownScheme

SCHEMES = {*schemes.SCHEMES, "MD5"}  # MD5 is a second name of two of them
PASSWORD = "S3crét pass"
# Listed by `doveadm pw -l`, but computed by no library.
UNSUPPORTED = {"CRAM-MD5", "HMAC-MD5", "DIGEST-MD5", "OTP", "PLAIN-MD4", "PLAIN-TRUNC"}
DIGESTS = ("MD5", "SMD5", "LDAP-MD5", "SHA", "SSHA", "SHA256", "SSHA256", "SHA512", "SSHA512")


def doveadm(*arguments: str | bytes) -> str:
    program = shutil.which("doveadm") or pytest.fail("apt-get install dovecot-core")
    done = subprocess.run(
        [program, "pw", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout.strip() if done.returncode == 0 else f"failed: {done.stderr.strip()}"


@pytest.mark.system
@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_a_hash_made_by_dovecot_is_verified(scheme: str) -> None:
    made_as = "ARGON2ID" if scheme == "ARGON2" else scheme  # ARGON2 is a name of Dovecot 2.4
    stored = doveadm("-s", made_as, "-p", PASSWORD).replace(f"{{{made_as}}}", f"{{{scheme}}}")
    assert stored.startswith("{" + scheme + "}")
    assert verify(PASSWORD, stored)
    assert not verify("x" + PASSWORD, stored)
    assert not verify("", stored)
    assert needs_upgrade(stored)


@pytest.mark.system
def test_every_scheme_of_dovecot_is_supported_or_listed_as_unsupported() -> None:
    assert set(doveadm("-l").split()) - SCHEMES == UNSUPPORTED


@pytest.mark.system
@pytest.mark.parametrize("encoding", ["HEX", "B64", "BASE64"])
@pytest.mark.parametrize("scheme", ["SHA256", "SSHA512", "PLAIN-MD5", "LDAP-MD5", "SHA512-CRYPT"])
def test_the_encoding_may_be_named(scheme: str, encoding: str) -> None:
    stored = doveadm("-s", f"{scheme}.{encoding}", "-p", PASSWORD)
    assert f".{encoding}}}" in stored
    assert verify(PASSWORD, stored)
    assert not verify("wrong", stored)


def test_an_unsalted_hex_digest_is_recognised_by_its_length() -> None:
    assert verify("x", "{SHA256}" + hashlib.sha256(b"x").hexdigest())


@pytest.mark.system
@pytest.mark.parametrize(
    "stored",
    [
        hash_password(PASSWORD),
        "{ARGON2ID}" + PasswordHasher().hash(PASSWORD),
        "{BLF-CRYPT}" + bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(6)).decode(),
        "{CRYPT}" + libcrypt.crypt(PASSWORD.encode(), b"$6$rounds=5000$abcdefgh$").decode(),
        "{CRYPT}" + libcrypt.crypt(PASSWORD.encode(), b"$y$j9T$abcdefgh$").decode(),
        "{SSHA512}"
        + base64.b64encode(hashlib.sha512(PASSWORD.encode() + b"salt").digest() + b"salt").decode(),
        "{PBKDF2}$1$salt$100000$"
        + hashlib.pbkdf2_hmac("sha1", PASSWORD.encode(), b"salt", 100000).hex(),
    ],
    ids=lambda stored: stored[:14],
)
def test_dovecot_verifies_hashes_written_by_us_and_our_libraries(stored: str) -> None:
    assert "(verified)" in doveadm("-t", stored, "-p", PASSWORD)
    assert "mismatch" in doveadm("-t", stored, "-p", "wrong")
    assert verify(PASSWORD, stored)


def test_a_new_hash_is_argon2id_of_the_stated_cost_and_needs_no_upgrade() -> None:
    stored = hash_password("x")
    assert stored.startswith("{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$")
    assert not needs_upgrade(stored)
    assert len(stored) <= password_hashes.MAX_STORED


@pytest.mark.parametrize(
    "stored",
    [
        "{ARGON2ID}" + PasswordHasher(time_cost=1).hash("x"),
        "{ARGON2ID}nonsense",
        "{SSHA512}AAAA",
        "{PLAIN}x",
    ],
)
def test_any_other_hash_needs_an_upgrade(stored: str) -> None:
    assert needs_upgrade(stored)


def test_composed_and_decomposed_letters_are_one_password() -> None:
    composed, apart = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")
    assert verify(apart, hash_password(composed))
    assert verify(composed, hash_password(apart))
    old = base64.b64encode(hashlib.sha512(apart.encode() + b"salt").digest() + b"salt").decode()
    assert verify(apart, "{SSHA512}" + old)


@pytest.mark.system
def test_bcrypt_reads_72_bytes_as_dovecot_does() -> None:
    long = "x" * 100
    stored = doveadm("-s", "BLF-CRYPT", "-p", long)
    assert verify(long, stored)
    assert verify(long, stored.replace("{BLF-CRYPT}", "{CRYPT}"))


@pytest.mark.parametrize(
    ("stored", "reads"),
    [
        ("{BLF-CRYPT}$2y$05$" + "." * 53, 72),
        ("{CRYPT}$2b$05$" + "." * 53, 72),
        ("{CRYPT}" + "." * 13, 8),
        ("{DES-CRYPT}" + "." * 13, 8),
    ],
)
def test_a_hash_covers_only_what_its_scheme_reads(stored: str, reads: int) -> None:
    assert password_hashes.covers("x" * (reads - 1), stored)
    assert not password_hashes.covers("x" * reads, stored)  # may be the beginning of a longer one
    assert not password_hashes.covers("é" * (reads // 2), stored)


@pytest.mark.parametrize("stored", ["{PLAIN}$2x", "{CRYPT}$6$salt$x", "{SHA512}" + "A" * 86])
def test_every_other_hash_covers_all_of_a_password(stored: str) -> None:
    assert password_hashes.covers("x" * 500, stored)


# Plain text is left out: a text column cannot hold such bytes.
@pytest.mark.system
@pytest.mark.parametrize("scheme", sorted(SCHEMES - {"PLAIN", "CLEAR", "CLEARTEXT"}))
def test_non_utf8_passwords_are_accepted_as_dovecot_does(scheme: str) -> None:
    latin = b"p\xe9ss"
    made_as = "ARGON2ID" if scheme == "ARGON2" else scheme
    stored = doveadm("-s", made_as, "-p", latin).replace(f"{{{made_as}}}", f"{{{scheme}}}")
    assert verify(os.fsdecode(latin), stored)
    assert not verify(os.fsdecode(b"p\xe8ss"), stored)


def test_a_slow_old_hash_is_checked_once_in_the_form_received(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apart = unicodedata.normalize("NFD", "caf\u00e9")
    stored = "{BLF-CRYPT}" + bcrypt.hashpw(apart.encode(), bcrypt.gensalt(4)).decode()
    assert verify(apart, stored)
    asked: list[bytes] = []
    monkeypatch.setattr(bcrypt, "checkpw", lambda secret, _: asked.append(secret))
    assert not verify("x" + apart, stored)
    assert asked == [("x" + apart).encode()]


@pytest.mark.system
@pytest.mark.parametrize("scheme", ["BLF-CRYPT", "SHA512-CRYPT", "DES-CRYPT"])
@pytest.mark.parametrize("password", [f"{PASSWORD}\0x", "\udcff"])
def test_bytes_that_crypt_cannot_read_match_nothing(scheme: str, password: str) -> None:
    assert not verify(password, doveadm("-s", scheme, "-p", PASSWORD))


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "secret",
        "$6$abc$def",
        "{NOSUCH}x",
        "{OTP}sha1 1024 b609ea41d61195a6 83fd197d4e3b8742",
        "{SHA256.HEX}zz",
        "{SSHA512}!!!",
        "{SHA256}AAAA",  # too short
        "{SHA256}" + base64.b64encode(bytes(40)).decode(),  # with a salt, which this scheme has not
        "{SSHA256}"
        + base64.b64encode(bytes(32)).decode(),  # without the salt that this scheme needs
        "{ARGON2ID}x",
        "{ARGON2ID}$argon2id$v=19$m=8,t=1,p=1$!$!",
        "{ARGON2ID}$argon2i$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "{ARGON2ID}$argon2id$v=99$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "{BLF-CRYPT}$2y$05$short",
        "{BLF-CRYPT}$2y$03$" + "." * 53,  # below bcrypt's minimum cost
        "{CRYPT}!",
        "{CRYPT}*0",
        "{CRYPT}$9$salt$x",
        "{CRYPT}$y$j9T$",
        "{CRYPT}$6$a:b$x",  # libcrypt rejects this salt
        "{SHA512-CRYPT}é",
        "{PBKDF2}$1$salt$0$" + "0" * 40,
        "{PBKDF2}x",
        "{SCRAM-SHA-256}x,y",
        "{SCRAM-SHA-256}4096,!,!,!",
        "{PLAIN}" + "x" * 600,
    ],
)
def test_an_unverifiable_hash_is_an_error_never_a_wrong_password(stored: str) -> None:
    with pytest.raises(UnknownScheme):
        verify("x", stored)


@pytest.mark.parametrize(
    "stored",
    [
        "{ARGON2ID}$argon2id$v=19$m=4194304,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "{ARGON2ID}$argon2id$v=19$m=19456,t=999,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "{ARGON2ID}$argon2id$v=19$m=262144,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=99$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "{BLF-CRYPT}$2y$20$" + "." * 53,
        "{SHA512-CRYPT}$6$rounds=999999999$salt$x",
        "{CRYPT}$y$jFT$abcdefgh$x",
        "{PBKDF2}$1$salt$999999999$" + "0" * 40,
        "{SCRAM-SHA-1}999999999,AAAA,AAAA,AAAA",
    ],
)
def test_a_hash_that_costs_too_much_is_rejected_at_once(stored: str) -> None:
    with pytest.raises(UnknownScheme):
        verify("x", stored)


def test_the_form_of_a_hash_is_checked_without_hashing() -> None:
    check_hash("{SsHa512.hex}" + "00" * 72)
    check_hash("{MD5}$1$abc$def")
    began = time.perf_counter()
    for _ in range(1000):
        check_hash("{BLF-CRYPT}$2y$13$" + "." * 53)
        check_hash(password_hashes.DUMMY)
    assert time.perf_counter() - began < 5  # one such bcrypt takes half a second
    with pytest.raises(UnknownScheme):
        check_hash("{OTP}x")


def test_the_dummy_costs_what_a_real_check_costs_and_matches_nothing() -> None:
    assert not needs_upgrade(password_hashes.DUMMY)
    assert not verify("", password_hashes.DUMMY)


@given(st.text(max_size=80), st.text(max_size=80))
@settings(max_examples=20, deadline=None)
def test_a_hash_matches_its_password_and_no_other(one: str, other: str) -> None:
    stored = hash_password(one)
    assert verify(one, stored)
    same = unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
    assert verify(other, stored) == same


@given(st.text(max_size=100), st.sampled_from(sorted(SCHEMES - {"PLAIN"})))
@settings(max_examples=300, deadline=None)
def test_hostile_hashes_only_ever_raise_unknown_scheme(data: str, scheme: str) -> None:
    with contextlib.suppress(UnknownScheme):
        verify(os.fsdecode(b"\xff"), "{" + scheme + "}" + data)
