"""Which passwords people may choose. Pure.

NIST SP 800-63B-4: length, no composition rules, no rotation, no known or local
words. Nothing that Dovecot could not carry: it refuses user and password of more
than 509 bytes together without asking anybody (db-checkpassword.c).
"""

import unicodedata
from collections.abc import Collection

MIN_LENGTH = 15  # characters, where the password is the only factor (800-63B-4 3.1.1.2)
MAX_CARRIED = 509  # bytes of user and password on checkpassword's descriptor 3
# 128 characters of 3 bytes and the longest name still fit; 800-63B-4 asks for 64.
MAX_LENGTH = 128
# What long guesses are made of (the common passwords of 15 characters and more in public
# lists are these, repeated and joined), besides the words of the site. Long ones first.
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
REPLACEMENT = "\ufffd"  # stands for what could not be read
MIN_DIFFERENT = 5  # fewer characters than this, repeated, are no password


def check(password: str, *, name: str, local_words: Collection[str] = ()) -> None:
    """Raise ``ValueError``, with the reason, unless *password* is one that *name* may choose."""
    text = unicodedata.normalize("NFC", password)
    check_carriable(text, name=name)
    if len(text) < MIN_LENGTH:
        raise ValueError(
            f"a password has at least {MIN_LENGTH} characters; a sentence is a good one"
        )
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a password has at most {MAX_LENGTH} characters")
    bare = text.casefold()
    for word in (name, *local_words, *COMMON):
        bare = bare.replace(word.casefold(), "")
    if len(set(bare)) < MIN_DIFFERENT:
        raise ValueError(
            "a password is more than a name, a common word and a few repeated characters"
        )


def check_carriable(password: str, *, name: str) -> None:
    """Raise ``ValueError`` for a password that some mail client or Dovecot could not send."""
    if not password:
        raise ValueError("a password is not empty")
    if any(unicodedata.category(c) == "Cc" for c in password):
        raise ValueError("a password has no control characters (NUL, tab, line end)")
    if not all(_has_a_key(c) for c in password):
        raise ValueError(
            "a password has no characters without a key, such as a byte order mark, or what a"
            " program left where it could not read one"
        )
    if len(name.encode()) + len(password.encode("utf-8", "surrogatepass")) > MAX_CARRIED:
        raise ValueError(f"name and password together have at most {MAX_CARRIED} bytes")


def _has_a_key(character: str) -> bool:
    return character in JOINERS or (
        character != REPLACEMENT and unicodedata.category(character) not in KEYLESS
    )
