"""Which passwords people may choose. Pure.

As NIST SP 800-63B-4 has it: a minimum length, no composition rules, no rotation, no common or
local words. Nor anything that Dovecot cannot pass on: it refuses a user name and password of
more than 509 bytes together without asking us (db-checkpassword.c).
"""

import unicodedata
from collections.abc import Collection

MIN_LENGTH = 15  # characters, where the password is the only factor (800-63B-4 3.1.1.2)
MAX_CARRIED = 509  # bytes of user name and password on checkpassword's descriptor 3
# 128 characters of 3 bytes and the longest name still fit; 800-63B-4 asks for 64.
MAX_LENGTH = 128
# What long guesses consist of, besides the words of the site: the common passwords of 15 or more
# characters in public lists are these, repeated and joined. Long ones first.
COMMON = (
    "abcdefghijklmnopqrstuvwxyz",
    "1234567890",
    "qwertyuiop",
    "asdfghjkl",
    "password",
    "passwort",
    "iloveyou",
    "zxcvbnm",
    "welcome",
    "letmein",
    "qwerty",
    "12345",
)
# Formatting, surrogates (bytes that were not UTF-8), private use, line and paragraph marks.
KEYLESS = frozenset({"Cf", "Cs", "Co", "Zl", "Zp"})
JOINERS = "\u200c\u200d"  # Persian keyboards and emoji have them
REPLACEMENT = "\ufffd"  # replaces bytes that could not be decoded
MIN_DIFFERENT = 5  # distinct characters that remain without all those words


def check(password: str, *, name: str, local_words: Collection[str] = ()) -> None:
    """Raise ``ValueError``, with the reason, unless *name* may choose *password*."""
    text = unicodedata.normalize("NFC", password)
    check_carriable(text, name=name)
    if len(text) < MIN_LENGTH:
        raise ValueError(
            f"a password needs at least {MIN_LENGTH} characters; a sentence works well"
        )
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a password may have at most {MAX_LENGTH} characters")
    bare = text.casefold()
    for word in (name, *local_words, *COMMON):
        bare = bare.replace(word.casefold(), "")
    if len(set(bare)) < MIN_DIFFERENT:
        raise ValueError(
            "a password must be more than names, common words and a few repeated characters"
        )


def check_carriable(password: str, *, name: str) -> None:
    """Raise ``ValueError`` if some mail client or Dovecot could not transmit *password*."""
    if not password:
        raise ValueError("a password must not be empty")
    if any(unicodedata.category(c) == "Cc" for c in password):
        raise ValueError("a password must not contain control characters (NUL, tab, line end)")
    if not all(_has_a_key(c) for c in password):
        raise ValueError(
            "a password must not contain characters that no keyboard types, such as a byte order"
            " mark or the replacement character (U+FFFD)"
        )
    if len(name.encode()) + len(password.encode("utf-8", "surrogatepass")) > MAX_CARRIED:
        raise ValueError(f"name and password together may have at most {MAX_CARRIED} bytes")


def _has_a_key(character: str) -> bool:
    return character in JOINERS or (
        character != REPLACEMENT and unicodedata.category(character) not in KEYLESS
    )
