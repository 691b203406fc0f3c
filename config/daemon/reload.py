"""Reading gatepost.toml again on SIGHUP, the same in every service.

A bad file changes nothing and is logged in one line. What a service knows (counts, caches,
requests in progress) is for the service to keep when it takes the new settings over.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from config.daemon.events import event
from config.loader import ConfigError, load_with_warnings
from config.settings import Settings

log = logging.getLogger(__name__)


def read_again(path: Path) -> Settings | None:
    """Return the settings in *path*, ``None`` (and a log line) if they are bad.

    Takes time, as the file may be slow to read: call it in a thread.
    """
    try:
        settings, warnings = load_with_warnings(path)
    except ConfigError as error:
        reason = str(error).replace("\n", "; ")
        log.error(event("reload-failed", reason=reason))  # noqa: TRY400 - no bug
        return None
    for warning in warnings:
        log.warning(event("setting-ignored", key=warning.key, reason=warning.text))
    return settings


class Reloader:
    """Reloads in a service with an event loop, which continues meanwhile."""

    def __init__(self, path: Path, use: Callable[[Settings], Awaitable[None]]) -> None:
        """Read *path* on request, and await *use* of its settings if they are good."""
        self._path = path
        self._use = use
        self._task: asyncio.Task[None] | None = None
        self._is_requested = False  # since the file was last read

    def request(self) -> None:
        """Handle SIGHUP: reload now, or once more after the reload in progress."""
        self._is_requested = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        while self._is_requested:
            self._is_requested = False
            settings = await asyncio.to_thread(read_again, self._path)
            if settings is None:
                continue
            try:
                await self._use(settings)
            except Exception:  # the edge: the next SIGHUP must work
                log.exception(event("bug", at="reload"))
            else:
                log.info(event("reloaded"))
