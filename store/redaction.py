"""What may be shown of a line that could not be read: never a password or a hash. Pure.

A file read in the wrong format has its secrets where a name is expected.
"""

import re

# {SCHEME}data as Dovecot writes it, and crypt(3)'s $id$data.
_HASH = re.compile(r"\{[A-Za-z0-9.-]+\}[^\s'\"]+|\$[0-9A-Za-z-]{1,16}\$[^\s'\"]+")
# What separates the fields of some format: a "name" with one of these is more than a name.
_SEPARATORS = re.compile(r"[\s:;,|={}$\"]")
# An address in an aliases file or the like is still shorter.
MAX_NAME = 128
HIDDEN = "(not shown)"


def redact(text: str) -> str:
    """Return *text* without the hashes in it."""
    return _HASH.sub("(hash not shown)", text)


def is_name_like(text: str) -> bool:
    """Return whether *text* is one word, so that it cannot hold a name and a password."""
    return len(text) <= MAX_NAME and not _SEPARATORS.search(text.strip())


def shown_name(text: str) -> str:
    """Return *text* if it is like a name, else a word that says it is hidden."""
    return text if is_name_like(text) else HIDDEN
