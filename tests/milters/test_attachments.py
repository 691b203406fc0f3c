"""Limits by recipient, and what a refusal says."""

import pytest

from milters import attachments
from milters.attachments import EXACT_UP_TO, AttachmentLimit, Measure, Measured
from milters.verdict import TOO_BIG, Refuse

MIB = 1 << 20
ALUMNI = AttachmentLimit("anna@mail.example.edu", 10 * MIB)
STUDENT = AttachmentLimit("sam@mail.example.edu", 50 * MIB)
ADVICE = "Send a cloud link instead."


@pytest.mark.parametrize(
    ("limits", "declared", "wanted"),
    [
        ([], None, Measure.NOTHING),
        ([], 10**12, Measure.NOTHING),
        ([ALUMNI], None, Measure.CONTENT),
        ([ALUMNI], 9 * MIB, Measure.LENGTH),
        ([ALUMNI], 10 * MIB * 98 // 100, Measure.CONTENT),  # lines counted as LF
        ([STUDENT, ALUMNI], 11 * MIB, Measure.CONTENT),
    ],
)
def test_mail_that_fits_everybody_as_declared_is_not_measured(
    limits: list[AttachmentLimit], declared: int | None, wanted: Measure
) -> None:
    assert attachments.measure(limits, declared=declared) is wanted


def test_the_limit_itself_may_be_reached() -> None:
    assert not attachments.over([ALUMNI], 10 * MIB)
    assert attachments.over([ALUMNI], 10 * MIB + 1) == (ALUMNI,)


def test_only_those_over_their_limit_are_named() -> None:
    assert attachments.over([STUDENT, ALUMNI], 20 * MIB) == (ALUMNI,)


def test_measuring_continues_up_to_the_exact_bound() -> None:
    assert not attachments.settled([], 10**15)
    assert not attachments.settled([ALUMNI], EXACT_UP_TO)
    assert attachments.settled([ALUMNI], EXACT_UP_TO + 1)
    assert not attachments.settled([ALUMNI, AttachmentLimit("s", 500 * MIB)], 500 * MIB)


def test_a_refusal_names_size_limit_recipient_and_advice() -> None:
    assert attachments.refusal([ALUMNI], Measured(12 * MIB), ADVICE) == (
        "Attachments of 12 MiB are over the limit of 10 MiB for anna@mail.example.edu. "
        "Send a cloud link instead."
    )


def test_a_size_that_rounds_to_the_limit_is_shown_in_bytes() -> None:
    text = attachments.refusal([ALUMNI], Measured(10 * MIB + 1), ADVICE)
    assert text.startswith("Attachments of 10485761 bytes are over the limit of 10 MiB for")


def test_an_inexact_size_is_shown_as_a_lower_bound() -> None:
    text = attachments.refusal([ALUMNI], Measured(300 * MIB, exact=False), "")
    assert text == (
        "Attachments of more than 300 MiB are over the limit of 10 MiB for anna@mail.example.edu."
    )


def test_many_recipients_are_counted_instead_of_named() -> None:
    over = [AttachmentLimit(f"a{n}@mail.example.edu", 10 * MIB) for n in range(8)]
    text = attachments.refusal(over, Measured(12 * MIB), ADVICE)
    assert "a4@mail.example.edu" in text
    assert "a5@mail.example.edu" not in text
    assert "and 3 others" in text


def test_the_advice_is_never_cut_off() -> None:
    for length in range(20, 321, 20):
        over = [AttachmentLimit(f"{'x' * length}{n}@mail.example.edu", 10 * MIB) for n in range(6)]
        text = attachments.refusal(over, Measured(12 * MIB), ADVICE)
        assert Refuse(*TOO_BIG, text).line().endswith(ADVICE)
        assert "10 MiB" in text
        assert length > 300 or "x0@" in text


def test_one_other_is_no_others() -> None:
    over = [AttachmentLimit(f"a{n}@mail.example.edu", 10 * MIB) for n in range(6)]
    assert "and 1 other. " in attachments.refusal(over, Measured(12 * MIB), ADVICE)
