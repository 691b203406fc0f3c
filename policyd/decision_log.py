"""One log line for each decision that concerns sending, written in batches.

A call of `logging` costs more than the decision, so the lines of one turn of the event loop
are written together. RCPT requests that pass are not logged: the DATA that follows is.
"""

import asyncio
import logging
from functools import lru_cache

from config.daemon.logs import MAX_VALUE, quoted
from policyd.action import DUNNO, describe
from policyd.context import Decision
from policyd.request import Request
from store.limits.window import ChargeResult

log = logging.getLogger("policyd")
# As config.daemon.logs prints it, so that each line of a batch has its own prefix.
_NEXT = "\nINFO policyd: "
_quoted_cached = lru_cache(maxsize=4096)(quoted)


class DecisionLog:
    """Collects the lines of this turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lines: list[str] = []
        self._enabled = log.isEnabledFor(logging.INFO)

    def add_decision(self, request: Request, decision: Decision) -> None:
        """Add a decision of the rules, if it has a reason."""
        if self._enabled and decision.reason:
            action = decision.action if decision.action == DUNNO else _quoted(decision.action)
            self._add(f"{_head(request)} verdict={action} reason={decision.reason}")

    def add_charge(
        self, request: Request, result: ChargeResult, *, reason: str, action: str
    ) -> None:
        """Add the result of a charge."""
        if not self._enabled:
            return
        limit = result.limit
        count = ""
        if limit is not None:
            count = f" count={describe(limit, result.used)} limit={_quoted(limit.subject)}"
        repeated = " repeated=yes" if result.repeated else ""
        verdict = action if action == DUNNO else _quoted(action)
        self._add(f"{_head(request)} verdict={verdict}{count} reason={reason}{repeated}")

    def flush(self) -> None:
        """Write the collected lines."""
        if self._lines:
            lines, self._lines = self._lines, []
            log.info("%s", _NEXT.join(lines))

    def _add(self, line: str) -> None:
        if not self._lines:
            self._loop.call_soon(self.flush)
        self._lines.append(line)


def _quoted(text: str) -> str:
    # `quoted` cuts it anyway, and a peer may send 16 kB: do not cache that much.
    return _quoted_cached(text[: MAX_VALUE + 1])


def _head(request: Request) -> str:
    user = f" user={_quoted(request.sasl_username)}" if request.sasl_username else ""
    recipients = request.recipient_count or 1
    name = request.name
    if not (name.isalnum() and name.isascii()):  # a queue id needs no quotes; an instance does
        name = _quoted(name)
    return (
        f"{name} state={_quoted(request.state)}"
        f" client={_quoted(request.client_address)}{user} recipients={recipients}"
    )
