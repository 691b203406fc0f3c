"""A site's texts reach a client unchanged, from either service."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.loader import ConfigError
from config.replies import MAX_SITE_TEXT, one_line
from milters import attachments
from milters.attachments import AttachmentLimit, Measured
from milters.verdict import TOO_BIG, Refuse
from policyd import action
from tests.conftest import settings_for

PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


def said(advice: str) -> tuple[str, str]:
    """Return how the milter and policyd end their refusal."""
    settings = settings_for("sqlite:////nowhere", attachments={"advice": advice})
    text = settings.attachments.advice
    limit = AttachmentLimit("anna@mail.example.edu", 10 << 20)
    refused = Refuse(*TOO_BIG, attachments.refusal([limit], Measured(20 << 20), text))
    return refused.line(), action.too_large("anna", 20 << 20, 10 << 20, settings)


@given(st.text(PRINTABLE, min_size=1, max_size=MAX_SITE_TEXT))
def test_the_advice_is_the_same_from_both_services(advice: str) -> None:
    for text in said(advice):
        assert text.rstrip().endswith(advice.rstrip())


@pytest.mark.parametrize("byte", range(256))
def test_every_character_is_rejected_or_shown_unchanged(byte: int) -> None:
    letter = chr(byte)
    if letter.isascii() and letter.isprintable():
        assert all(f"a{letter}b" in text for text in said(f"a{letter}b"))
    else:
        with pytest.raises((ConfigError, ValueError)):
            said(f"a{letter}b")


@given(st.text(), st.integers(4, 100))
def test_a_reply_is_one_line_of_ascii_of_bounded_length(text: str, size: int) -> None:
    line = one_line(text, size)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= size
