"""How long a "no" takes, learned from the checks."""

import time

import pytest

from dovecot_auth.refusal_delay import MARGIN, MAX_SECONDS, RefusalDelay
from dovecot_auth.verdict import REFUSAL_SECONDS


def busy(seconds: float) -> str:
    """Take so much of the processor."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
    return "done"


def test_a_quick_check_changes_nothing() -> None:
    floor = RefusalDelay()
    assert floor.learn(lambda: "no") == "no"
    assert floor.seconds == REFUSAL_SECONDS


def test_a_slow_check_raises_the_floor_for_good() -> None:
    floor, took = RefusalDelay(), REFUSAL_SECONDS / MARGIN * 1.2
    assert floor.learn(lambda: busy(took)) == "done"
    raised = floor.seconds
    assert raised >= took * MARGIN
    floor.learn(lambda: "no")
    assert floor.seconds == raised


def test_waiting_is_no_work_and_a_check_that_fails_counts() -> None:
    floor = RefusalDelay()
    floor.learn(lambda: time.sleep(REFUSAL_SECONDS))
    assert floor.seconds == REFUSAL_SECONDS
    with pytest.raises(ZeroDivisionError):
        floor.learn(lambda: (busy(0.15), 1 // 0))
    assert floor.seconds > REFUSAL_SECONDS


def test_no_check_holds_up_a_refusal_for_longer_than_the_most() -> None:
    floor = RefusalDelay()
    floor.learn(lambda: busy(MAX_SECONDS / MARGIN + 0.05))
    assert floor.seconds == MAX_SECONDS
