"""A warning, if limits are charged at a state where Postfix never asks; else none."""

import pytest

from config.settings import LimitSettings
from policyd.tally import SUSPICIOUS_MESSAGES, Tally

LIMITS = LimitSettings()
MANY = SUSPICIOUS_MESSAGES * LIMITS.recipients_per_message


def ask(tally: Tally, state: str, times: int) -> None:
    for _ in range(times):
        tally.count_local(state)


def test_recipients_without_a_request_at_data_cause_one_warning() -> None:
    tally = Tally()
    ask(tally, "RCPT", MANY)
    warning = tally.misuse(LIMITS)
    assert warning is not None
    assert 'cure="add check_policy_service to smtpd_data_restrictions"' in warning
    assert tally.misuse(LIMITS) is None


def test_a_few_large_messages_before_data_cause_no_warning() -> None:
    tally = Tally()
    ask(tally, "RCPT", MANY - 1)
    assert tally.misuse(LIMITS) is None


def test_requests_at_data_that_cease_cause_a_warning() -> None:
    tally = Tally()
    for _ in range(2):
        ask(tally, "DATA", 5)
        assert tally.misuse(LIMITS) is None
        tally.reasons["pass"] += 1
        tally.summary()
        ask(tally, "RCPT", MANY)
        assert tally.misuse(LIMITS)
        assert tally.misuse(LIMITS) is None


@pytest.mark.parametrize("count", [1, 10_000])
def test_unknown_protocol_states_take_no_memory(count: int) -> None:
    tally = Tally()
    before = len(tally.states)
    for number in range(count):
        tally.count_local(f"STATE {number}")
    assert len(tally.states) == before
