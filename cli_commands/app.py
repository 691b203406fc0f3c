"""What every command needs: the settings, the store, and who is making the change."""

import os
import pwd
from functools import cached_property
from pathlib import Path
from typing import Self

from config.loader import find, load
from config.settings import Settings
from store import readiness
from store.audit import AuditContext
from store.engine import Store
from store.errors import StoreUnavailable


class App:
    """The command line's state; reads the configuration when first needed."""

    def __init__(self, config: str | None) -> None:
        """Remember *config*, the value of ``--config``."""
        self.path: Path = find(config)

    @cached_property
    def settings(self) -> Settings:
        """Return the settings; raises `ConfigError`."""
        return load(self.path)

    @cached_property
    def store(self) -> Store:
        """Return the store; raises `StoreUnavailable` when it cannot be used as it is."""
        if trouble := readiness.trouble(self.unchecked_store):
            raise StoreUnavailable(trouble)
        return self.unchecked_store

    @cached_property
    def unchecked_store(self) -> Store:
        """Return the store, even if its tables are missing or old."""
        return Store(self.settings.store.url)

    def __enter__(self) -> Self:
        """Lend the state to one command."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store, if the command needed it."""
        if "unchecked_store" in vars(self):
            self.unchecked_store.close()

    def change(self, reason: str = "") -> AuditContext:
        """Return who is making a change (the user behind sudo) and why, for the audit log."""
        user = os.environ.get("SUDO_USER") or _user_name()
        return AuditContext(who=f"{user} (cli)", why=reason)


def _user_name() -> str:
    """Return the name of this process's user; in a container, a user id may have none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
