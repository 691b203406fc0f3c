"""Who may receive how much, from the memory copy of the store.

A name that only Postfix knows (virtual_alias_maps) has no limit of ours: it is
resolved after us. An alias of the store has that of its account.

A thread asks the store every second what changed. While the store is away the
copy stays as it is; before it was ever read, everybody of ours has the largest
limit there is: nobody is refused because we know nothing.
"""

import logging
import threading
import time

from config.daemon.logs import fields
from config.settings import Settings
from store.errors import StoreUnavailable
from store.memory.directory import Directory
from store.people.names import canonical, is_local, whole

log = logging.getLogger("milter")
REFRESH_SECONDS = 1.0  # changes hold within two seconds everywhere (R18)


class RoleLimits:
    """Attachment limits by role. Thread-safe: the copy changes by whole rows."""

    def __init__(self, directory: Directory, settings: Settings) -> None:
        self._directory = directory
        self._site = settings.site
        self._largest = max(role.attachments for role in settings.roles.values())
        self._stopping = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._run, name="directory", daemon=True)

    def under(self, settings: Settings) -> "RoleLimits":
        """Return those under other *settings*, knowing what we know, store or no store."""
        other = RoleLimits(self._directory.under(settings), settings)
        other._away = self._away
        return other

    def start(self) -> None:
        """Read once, as far as the store lets us, then keep reading."""
        self._refresh()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def of(self, address: str) -> int | None:
        """Return the limit of *address*; ``None`` when it is none of ours."""
        if not self._directory.loaded:
            return self._largest if is_local(whole(address, self._site)) else None
        person = self._directory.person(address)
        return None if person is None else person.attachments(time.time())

    def owner(self, address: str) -> str:
        """Return the account of *address*, or what its spellings have in common."""
        person = self._directory.person(address) if self._directory.loaded else None
        return canonical(address, self._site) if person is None else person.name

    def _run(self) -> None:
        while not self._stopping.wait(REFRESH_SECONDS):
            self._refresh()

    def _refresh(self) -> None:
        try:
            self._directory.refresh()
        except StoreUnavailable as error:
            if not self._away:
                text = fields(event="store-away", error=error, roles="as last known")
                log.error(text)  # noqa: TRY400 - no bug of ours, and the text is all
            self._away = True
        else:
            if self._away:
                log.warning(fields(event="store-back"))
            self._away = False
