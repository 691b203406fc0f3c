"""What one process has decided, counted; and the one mistake in main.cf that is silent.

A limit charged at DATA limits nothing where Postfix asks at RCPT only: every
question is answered, none is charged, and nobody notices until a mailbox is stolen.
"""

import logging
from collections import Counter

from config.daemon.events import event
from config.settings import LimitSettings

log = logging.getLogger("policyd")
TALLY_SECONDS = 600.0
# So many of the largest messages may be at their recipients before the first is at DATA.
SUSPICIOUS_MESSAGES = 10
_WHERE = {
    "RCPT": "smtpd_recipient_restrictions",
    "DATA": "smtpd_data_restrictions",
    "END-OF-MESSAGE": "smtpd_end_of_data_restrictions",
}
# SMTPD_POLICY_README. A peer may send any other.
_STATES = ("CONNECT", "EHLO", "HELO", "MAIL", "VRFY", "ETRN", *_WHERE)


class Tally:
    """Counts decisions by cause, questions of our own people by state."""

    def __init__(self) -> None:
        self.causes: Counter[str] = Counter()
        self.states = dict.fromkeys(_STATES, 0)
        self._warned = False

    def asked(self, state: str) -> None:
        """Count a question of our own people."""
        if state in self.states:
            self.states[state] += 1

    def summary(self) -> str | None:
        """Return the line for the log, and start again; ``None`` if there was nothing."""
        if not self.causes:
            return None
        counts = {cause.replace("-", "_"): count for cause, count in sorted(self.causes.items())}
        self.causes.clear()
        # Questions that came once may cease.
        self.states = dict.fromkeys(_STATES, 0)
        return event("tally", **counts)

    def misuse(self, limits: LimitSettings) -> str | None:
        """Return a warning, once, if limits are charged at a state that never comes."""
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
