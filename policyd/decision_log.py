"""One log line for each decision that concerns sending, written by the batch.

A line a call costs more than the decision; lines of one turn of the event loop
leave together. RCPT questions that pass are not logged: the DATA that follows is.
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
# As config.logs.setup prints it, so that each line of a batch has its own prefix.
_NEXT = "\nINFO policyd: "
_remembered = lru_cache(maxsize=4096)(quoted)


class DecisionLog:
    """Collects the lines of this turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lines: list[str] = []
        self._enabled = log.isEnabledFor(logging.INFO)

    def answered(self, request: Request, answer: Decision) -> None:
        """Note a decision of the rules, if it refused or nothing is charged."""
        if self._enabled and answer.cause:
            said = answer.action if answer.action == DUNNO else _quoted(answer.action)
            self._add(f"{_who(request)} verdict={said} reason={answer.cause}")

    def charged(self, request: Request, verdict: ChargeResult, *, cause: str, action: str) -> None:
        """Note what became of a charge."""
        if not self._enabled:
            return
        limit = verdict.limit
        count = ""
        if limit is not None:
            count = f" count={describe(limit, verdict.used)} limit={_quoted(limit.subject)}"
        again = " repeated=yes" if verdict.repeated else ""
        said = action if action == DUNNO else _quoted(action)
        self._add(f"{_who(request)} verdict={said}{count} reason={cause}{again}")

    def flush(self) -> None:
        """Write what was collected."""
        if self._lines:
            lines, self._lines = self._lines, []
            log.info("%s", _NEXT.join(lines))

    def _add(self, line: str) -> None:
        if not self._lines:
            self._loop.call_soon(self.flush)
        self._lines.append(line)


def _quoted(text: str) -> str:
    # What `quoted` would cut off need not be remembered: a peer may send 16 KB.
    return _remembered(text[: MAX_VALUE + 1])


def _who(request: Request) -> str:
    user = f" user={_quoted(request.sasl_username)}" if request.sasl_username else ""
    recipients = request.recipient_count or 1
    name = request.name
    if not (name.isalnum() and name.isascii()):  # a queue id is a word; an instance is not
        name = _quoted(name)
    return (
        f"{name} state={_quoted(request.state)}"
        f" client={_quoted(request.client_address)}{user} recipients={recipients}"
    )
