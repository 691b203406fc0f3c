"""The minimum duration of a refusal, so that timing does not reveal whether an account exists.

An imported hash may be slower than any time fixed beforehand: another machine, a higher
cost, a longer password. So no refusal is quicker than the slowest check this process has
seen. A right login never waits; Dovecot itself adds 2 s to a refusal.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from config.units import Seconds
from dovecot_auth.verdict import REFUSAL_SECONDS

T = TypeVar("T")

# Times the CPU time of the slowest check. The margin covers waiting for a core: four concurrent
# bcrypt-12 checks on two cores took up to 2.0 times their CPU time.
MARGIN = 3.0
# A refusal holds one of Dovecot's 30 workers. `password_hashes` keeps one check below this.
MAX_SECONDS = 2.0


class RefusalDelay:
    """The minimum duration of a refusal. Safe in many threads."""

    def __init__(self) -> None:
        """Start with the duration that suits common hashes."""
        self.seconds: Seconds = REFUSAL_SECONDS

    def learn(self, check: Callable[[], T]) -> T:
        """Return *check*() and learn its CPU time (waiting in the queue is the same for all)."""
        began = time.thread_time()
        try:
            return check()
        finally:
            took = time.thread_time() - began
            self.seconds = min(MAX_SECONDS, max(self.seconds, took * MARGIN))
