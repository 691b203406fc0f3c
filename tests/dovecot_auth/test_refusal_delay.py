"""How long a refusal takes, learned from the checks."""

import time

import pytest

from dovecot_auth.refusal_delay import MARGIN, MAX_SECONDS, RefusalDelay
from dovecot_auth.verdict import REFUSAL_SECONDS


def busy(seconds: float) -> str:
    """Take *seconds* of CPU time."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
    return "done"


def test_a_quick_check_changes_nothing() -> None:
    delay = RefusalDelay()
    assert delay.learn(lambda: "no") == "no"
    assert delay.seconds == REFUSAL_SECONDS


def test_a_slow_check_raises_the_delay_for_good() -> None:
    delay, took = RefusalDelay(), REFUSAL_SECONDS / MARGIN * 1.2
    assert delay.learn(lambda: busy(took)) == "done"
    raised = delay.seconds
    assert raised >= took * MARGIN
    delay.learn(lambda: "no")
    assert delay.seconds == raised


def test_waiting_does_not_count_and_a_failing_check_does() -> None:
    delay = RefusalDelay()
    delay.learn(lambda: time.sleep(REFUSAL_SECONDS))
    assert delay.seconds == REFUSAL_SECONDS
    with pytest.raises(ZeroDivisionError):
        delay.learn(lambda: (busy(0.15), 1 // 0))
    assert delay.seconds > REFUSAL_SECONDS


def test_the_delay_has_a_maximum() -> None:
    delay = RefusalDelay()
    delay.learn(lambda: busy(MAX_SECONDS / MARGIN + 0.05))
    assert delay.seconds == MAX_SECONDS
