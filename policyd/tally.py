"""What one process has decided, counted; and the one mistake in main.cf that is silent.

A limit charged at DATA limits nothing where Postfix asks at RCPT only: every
question is answered, none is charged, and nobody notices until a mailbox is stolen.
"""

import logging
from collections import Counter

from config.logs import fields

log = logging.getLogger("policyd")
TALLY_SECONDS = 600.0
# So many recipients of our own people without one question that charges are no chance.
SUSPICIOUS_RECIPIENTS = 100
_WHERE = {
    "RCPT": "smtpd_recipient_restrictions",
    "DATA": "smtpd_data_restrictions",
    "END-OF-MESSAGE": "smtpd_end_of_data_restrictions",
}


class Tally:
    """Counts decisions by cause, questions of our own people by state."""

    def __init__(self) -> None:
        self.causes: Counter[str] = Counter()
        self.states: Counter[str] = Counter()
        self._warned = False

    def summary(self) -> str | None:
        """Return the line for the log, and start again; ``None`` if there was nothing."""
        if not self.causes:
            return None
        counts = {cause.replace("-", "_"): count for cause, count in sorted(self.causes.items())}
        self.causes.clear()
        return fields(event="tally", **counts)

    def misuse(self, charge_at: str) -> str | None:
        """Return a warning, once, if limits are charged at a state that never comes."""
        others = sum(self.states.values()) - self.states[charge_at]
        if self._warned or self.states[charge_at] or others < SUSPICIOUS_RECIPIENTS:
            return None
        self._warned = True
        return fields(
            event="nothing-is-limited",
            reason=f"limits are charged at {charge_at}, but Postfix never asks there",
            cure=f"add check_policy_service to {_WHERE[charge_at]}",
        )
