"""Attachment limits of addresses, from the memory copy of the store.

An address that only Postfix knows (virtual_alias_maps) has no limit: it is resolved after the
milter. An alias in the store has the limit of its account.

`store.memory.refresher` keeps the copy current. Until the first read succeeds, every local
address gets the largest limit of any role, so that ignorance never refuses mail.
"""

import time

from config.settings import Settings
from config.units import Bytes
from store.memory.directory import Directory
from store.people.names import canonical, is_local, whole


class RoleLimits:
    """Attachment limits by role. Thread-safe: the copy changes by whole rows."""

    def __init__(self, directory: Directory, settings: Settings) -> None:
        self._directory = directory
        self._site = settings.site
        self._largest = max(role.attachments for role in settings.roles.values())

    def limit_for(self, address: str) -> Bytes | None:
        """Return the limit of *address*; ``None`` if it is not a local one."""
        if not self._directory.loaded:
            return self._largest if is_local(whole(address, self._site)) else None
        person = self._directory.person(address)
        return None if person is None else person.attachments(time.time())

    def owner(self, address: str) -> str:
        """Return the account of *address*; its canonical spelling if no account is known."""
        person = self._directory.person(address) if self._directory.loaded else None
        return canonical(address, self._site) if person is None else person.name
