"""How long every "no" takes, so that its time tells no name from a nobody.

An imported hash may be slower than any time stated beforehand: another machine, a
higher cost, a longer password. So no "no" is quicker than the slowest check this
process has seen. A right login never waits; Dovecot itself adds 2 s to a "no".
"""

import time
from collections.abc import Callable
from typing import TypeVar

from dovecot_auth.verdict import REFUSAL_SECONDS

T = TypeVar("T")

# What the slowest check takes of the processor, and as much twice again to get at one: two of
# four bcrypt 12 at once on two cores were seen at 2.0 times that.
MARGIN = 3.0
# A "no" holds one of Dovecot's 30 workers. `password_hashes` keeps one check below this.
MAX_SECONDS = 2.0


class RefusalDelay:
    """The least time of a refusal. Any thread may learn."""

    def __init__(self) -> None:
        """Start with what common hashes take."""
        self.seconds = REFUSAL_SECONDS

    def learn(self, check: Callable[[], T]) -> T:
        """Return *check*(), and know what it took of the processor (the queue is everybody's)."""
        began = time.thread_time()
        try:
            return check()
        finally:
            took = time.thread_time() - began
            self.seconds = min(MAX_SECONDS, max(self.seconds, took * MARGIN))
