"""What all connections share: facts, charges, counts, the log. Runs in the event loop's thread."""

import asyncio
import logging
import time
from typing import Any, Literal

from policyd import action
from policyd.committer import Committer
from policyd.context import Decision
from policyd.decide import decide
from policyd.decision_log import DecisionLog
from policyd.facts import Facts
from policyd.request import Request
from policyd.tally import TALLY_SECONDS, Tally
from store.limits.counters import Counters
from store.limits.window import Charge, ChargeResult

log = logging.getLogger("policyd")
# How often transactions that hang and mistakes in main.cf are looked for.
WATCH_SECONDS = 0.25
# Each text has about half a kilobyte.
MAX_REFUSAL_TEXTS = 4096
_QUARTER = 900  # seconds; in every time zone, midnight falls on a quarter of an hour (UTC)


class Service:
    """One process's policy service."""

    def __init__(
        self, facts: Facts, counters: Counters[Any], *, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.facts = facts
        self.loop = loop
        self.committer = Committer(counters, self._refusal_text, loop, on_loss=self._on_loss)
        self.decision_log = DecisionLog(loop)
        self.tally = Tally()
        self._refusal_texts: dict[tuple[object, ...], str] = {}  # written with these facts
        self._watcher: asyncio.TimerHandle | None = None
        self._tally_at = loop.time() + TALLY_SECONDS

    def use(self, facts: Facts) -> None:
        """Decide by *facts* from now on."""
        # The old texts name the old help pages. A new dict for the new ones: the store's
        # thread may be about to add one more of the old.
        self.facts, self._refusal_texts = facts, {}

    def start(self) -> None:
        """Start to charge, and to watch the store."""
        self.committer.start()
        self._watch()

    def stop(self) -> None:
        """Stop both, and log what is left."""
        if self._watcher is not None:
            self._watcher.cancel()
        self.committer.stop()
        self.decision_log.flush()
        self._log_tally()

    def decide(self, request: Request) -> Decision | Charge:
        """Return the decision on *request*, or the charge whose result will decide."""
        decision = decide(request, self.facts, time.time())
        if isinstance(decision, Charge):
            self.tally.count_local(request.state)
            return decision
        if decision.from_our_user:
            self.tally.count_local(request.state)
        if decision.reason:
            self.decision_log.add_decision(request, decision)
        self.tally.reasons[decision.reason or "pass"] += 1
        return decision

    def finish_charge(self, request: Request, result: ChargeResult) -> str:
        """Return the action for *result*, and log it."""
        refused = bool(result.action)
        observed = refused and self.facts.settings.limits.mode == "observe"
        text = result.action if refused and not observed else action.DUNNO
        reason = "would-refuse" if observed else "over-limit" if refused else "limit"
        self.tally.reasons[reason] += 1
        where = " counted=locally" if self.committer.lost else ""
        self.decision_log.add_charge(request, result, reason=reason + where, action=text)
        return text

    def _on_loss(self) -> Literal["local", "defer"]:
        return self.facts.settings.limits.on_store_loss

    def _refusal_text(self, charge: Charge, result: ChargeResult, now: float) -> str:
        """Return the text of a refusal. Called in the store's thread, too."""
        # Read before the facts: no text of old facts may be added to the new texts.
        texts = self._refusal_texts
        facts = self.facts
        # A client over its limit asks often, and gets the same text until the next quarter.
        key = (result.limit, result.used, result.again, charge.amount, now // _QUARTER)
        text = texts.get(key)
        if text is None:
            text = action.over_limit(charge, result, now, settings=facts.settings, zone=facts.zone)
            if len(texts) >= MAX_REFUSAL_TEXTS:
                texts.clear()
            texts[key] = text
        return text

    def _watch(self) -> None:
        # First: a bug in one round must not end the watch.
        self._watcher = self.loop.call_later(WATCH_SECONDS, self._watch)
        now = self.loop.time()
        self.committer.watch(now)
        if warning := self.tally.misuse(self.facts.settings.limits):
            log.warning(warning)
        if now >= self._tally_at:
            self._tally_at = now + TALLY_SECONDS
            self._log_tally()

    def _log_tally(self) -> None:
        if line := self.tally.summary():
            log.info(line)
