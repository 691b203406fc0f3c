"""The one canonical form of a name, used by every service.

``alice``, ``Alice@mail.example.edu`` and ``alice+x@mail.example.edu`` are one
account, one counter, one mailbox. Pure; aliases are resolved by the callers
that know them (`store.accounts`, `store.directory`).
"""

import re
from collections.abc import Collection

# Dovecot's auth_username_chars, less what a path, a shell or a log could trip over.
# 64 octets is the limit of a local part (RFC 5321 4.5.3.1.1).
_ACCOUNT = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
MAX_ADDRESS = 320  # 64 + "@" + 255


def canonical(address: str, domains: Collection[str]) -> str:
    """Return the account name that *address* means, or the whole foreign address.

    Case is folded; a domain of ours (*domains*, lower-case) is stripped, and with
    it the ``+extension``. A foreign address keeps its domain and extension: what
    they mean is the other site's business.
    """
    folded = address.strip().casefold()
    local, at, domain = folded.rpartition("@")
    if not at:
        local = folded
    elif domain.rstrip(".") not in domains:
        return folded
    stem = local.partition("+")[0].strip()
    return stem or local  # "+x@ours" has no stem; leave it to be unknown


def is_local(name: str) -> bool:
    """Return whether a canonical *name* has no foreign domain."""
    return "@" not in name


def account_name(text: str, domains: Collection[str]) -> str:
    """Return *text* as the name of an account to be made; raise ``ValueError``."""
    name = canonical(text, domains)
    if not _ACCOUNT.fullmatch(name):
        raise ValueError(
            f"{text!r} cannot be an account name: 1 to 64 of a-z 0-9 . _ -, "
            "starting and ending with a letter or digit"
        )
    return name
