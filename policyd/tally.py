"""Counts of one process's decisions, and a warning about the one silent mistake in main.cf.

A limit charged at DATA limits nothing where Postfix asks at RCPT only: every request is
answered, none is charged, which goes unnoticed until an account is stolen.
"""

import logging
from collections import Counter

from config.daemon.events import event
from config.settings import LimitSettings

log = logging.getLogger("policyd")
TALLY_SECONDS = 600.0
# This many of the largest messages may have sent their recipients before the first sends DATA.
SUSPICIOUS_MESSAGES = 10
_WHERE = {
    "RCPT": "smtpd_recipient_restrictions",
    "DATA": "smtpd_data_restrictions",
    "END-OF-MESSAGE": "smtpd_end_of_data_restrictions",
}
# SMTPD_POLICY_README. A peer may send any other.
_STATES = ("CONNECT", "EHLO", "HELO", "MAIL", "VRFY", "ETRN", *_WHERE)


class Tally:
    """Counts decisions by reason, and requests of local users by state."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.states = dict.fromkeys(_STATES, 0)
        self._warned = False

    def count_local(self, state: str) -> None:
        """Count a request of a local user."""
        if state in self.states:
            self.states[state] += 1

    def summary(self) -> str | None:
        """Return the log line and start again; ``None`` if there were no decisions."""
        if not self.reasons:
            return None
        counts = {reason.replace("-", "_"): count for reason, count in sorted(self.reasons.items())}
        self.reasons.clear()
        # Requests at a state may stop coming.
        self.states = dict.fromkeys(_STATES, 0)
        return event("tally", **counts)

    def misuse(self, limits: LimitSettings) -> str | None:
        """Return a warning, once, if limits are charged at a state where Postfix never asks."""
        if self.states[limits.charge_at]:
            self._warned = False
        elif (
            not self._warned
            and sum(self.states.values()) >= SUSPICIOUS_MESSAGES * limits.recipients_per_message
        ):
            self._warned = True
            return event(
                "nothing-is-limited",
                reason=f"limits are charged at {limits.charge_at}, but Postfix never asks there",
                cure=f"add check_policy_service to {_WHERE[limits.charge_at]}",
            )
        return None
