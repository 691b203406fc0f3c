"""What a written name means, the same for every service. Pure.

``alice``, `` Alice@mail.example.edu `` and ``alice+x@mail.example.edu`` are one
account, one counter, one mailbox. The extension begins at any character of
`site.recipient_delimiter`, as in Postfix; a name that exists wins over its own
stem, so ``mary-ann`` is not ``mary`` although ``-`` is a delimiter. Modules that know
which names and aliases exist (`store.logins.credentials`, `store.memory.directory`) try `whole`
and then each of `stems`.
"""

import re
from collections.abc import Iterator

from config.settings import SiteSettings

# 64 octets is the limit of a local part (RFC 5321 4.5.3.1.1). Only characters that are harmless in
# paths and logs. The apostrophe is for O'Brien and D'Angelo: code that calls a shell must quote it.
MAX_NAME = 64
_ACCOUNT = re.compile(r"[a-z0-9]([a-z0-9._'-]{0,62}[a-z0-9])?")
MAX_ADDRESS = 320  # 64 + "@" + 255


def whole(address: str, site: SiteSettings) -> str:
    """Return *address* in lower case and without a local domain; a foreign domain stays."""
    folded = address.strip().casefold()
    local, at, domain = folded.rpartition("@")
    if not at or domain.rstrip(".") not in site.domains:
        return folded
    return local.strip()


def stems(name: str, site: SiteSettings) -> Iterator[str]:
    """Yield *name*, as `whole` returns it, without its possible extensions, the longest first.

    A foreign address yields none: only its own site knows what an extension means there.
    """
    delimiters = site.recipient_delimiter
    if not is_local(name) or not any(each in name for each in delimiters):
        return
    for end in range(min(len(name) - 1, MAX_NAME), 0, -1):
        if name[end] in delimiters and _ACCOUNT.fullmatch(name, 0, end):
            yield name[:end]


def intended_name(address: str, site: SiteSettings) -> str:
    """Return the account name that a person or a file means by *address*, existing or not.

    A valid name is taken as it is, never as another name with an extension: a typo in
    ``mary-ann`` must not change ``mary``.
    """
    name = whole(address, site)
    return name if _ACCOUNT.fullmatch(name) else next(stems(name, site), name)


def canonical(address: str, site: SiteSettings) -> str:
    """Return one name for all spellings of an unknown account, under which it is counted."""
    name = whole(address, site)
    return (name, *stems(name, site))[-1]


def is_local(name: str) -> bool:
    """Return whether *name*, as `whole` returns it, has no foreign domain."""
    return "@" not in name


def account_name(text: str, site: SiteSettings) -> str:
    """Return *text* as the name of a new account; raise ``ValueError``."""
    name = intended_name(text, site)
    check_name(name)
    return name


def check_name(name: str) -> None:
    """Raise ``ValueError`` if *name* is not a valid account name."""
    if not _ACCOUNT.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be an account name: 1 to {MAX_NAME} of a-z 0-9 . _ - ', "
            "starting and ending with a letter or digit"
        )
