"""What a message needs from outside: settings, limits, spamd and a way to send notices."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from config.settings import Settings
from config.units import Bytes
from milters.spam import Report

# Returns spamd's report on the message that the given function reads, once it has a turn.
Scan = Callable[[Callable[[], bytes]], Report]
# Sends a notice (its bytes, its recipient) through Postfix; raises `NotSent`.
Notify = Callable[[bytes, str], None]


class Limits(Protocol):
    """Attachment limits by address."""

    def limit_for(self, address: str) -> Bytes | None:
        """Return the limit; ``None`` for an address that has none."""

    def owner(self, address: str) -> str:
        """Return one name for all addresses of an account."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """``scan`` is ``None`` where no spamd is configured."""

    settings: Settings
    limits: Limits
    scan: Scan | None
    notify: Notify
    # Whether a Message-ID belongs to a notice of the milter on its way through Postfix.
    is_notice: Callable[[bytes], bool] = lambda _: False
