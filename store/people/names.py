"""What a written name means, the same for every service. Pure.

``alice``, `` Alice@mail.example.edu `` and ``alice+x@mail.example.edu`` are one
account, one counter, one mailbox. The extension begins at any character of
`site.recipient_delimiter`, as in Postfix; a name that exists wins over its own
stem, so ``mary-ann`` is herself although ``-`` is a delimiter. Whoever knows which
names exist (`credentials`, `directory`, `accounts`, which know the
aliases as well) asks for `whole` and then for each of `stems`.
"""

import re
from collections.abc import Iterator

from config.settings import SiteSettings

# 64 octets is the limit of a local part (RFC 5321 4.5.3.1.1). Nothing that a path or a log could
# trip over. The apostrophe is for O'Brien and D'Angelo: whatever hands a name to a shell quotes it.
MAX_NAME = 64
_ACCOUNT = re.compile(r"[a-z0-9]([a-z0-9._'-]{0,62}[a-z0-9])?")
MAX_ADDRESS = 320  # 64 + "@" + 255


def whole(address: str, site: SiteSettings) -> str:
    """Return *address* in lower case and without a domain of ours; a foreign one stays."""
    folded = address.strip().casefold()
    local, at, domain = folded.rpartition("@")
    if not at or domain.rstrip(".") not in site.domains:
        return folded
    return local.strip()


def stems(name: str, site: SiteSettings) -> Iterator[str]:
    """Give what a `whole` *name* may mean without an extension, the longest first.

    A foreign address has none: what its extension means is the other site's business.
    """
    delimiters = site.recipient_delimiter
    if not is_local(name) or not any(each in name for each in delimiters):
        return
    for end in range(min(len(name) - 1, MAX_NAME), 0, -1):
        if name[end] in delimiters and _ACCOUNT.fullmatch(name, 0, end):
            yield name[:end]


def intended_name(address: str, site: SiteSettings) -> str:
    """Return the account that a person or a file means by *address*, existing or not.

    What can be a name is one, and never somebody else's with an extension: a slip in
    ``mary-ann`` must not change ``mary``.
    """
    name = whole(address, site)
    return name if _ACCOUNT.fullmatch(name) else next(stems(name, site), name)


def canonical(address: str, site: SiteSettings) -> str:
    """Return one name for all ways to write an account that does not exist, for counting."""
    name = whole(address, site)
    return (name, *stems(name, site))[-1]


def is_local(name: str) -> bool:
    """Return whether a `whole` *name* has no foreign domain."""
    return "@" not in name


def account_name(text: str, site: SiteSettings) -> str:
    """Return *text* as the name of an account to be made; raise ``ValueError``."""
    name = intended_name(text, site)
    check_name(name)
    return name


def check_name(name: str) -> None:
    """Raise ``ValueError`` if no account can have *name*."""
    if not _ACCOUNT.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be an account name: 1 to {MAX_NAME} of a-z 0-9 . _ - ', "
            "starting and ending with a letter or digit"
        )
