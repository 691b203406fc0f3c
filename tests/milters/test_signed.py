"""Only a signature of local users keeps a subject from being tagged."""

from collections.abc import Callable

import pytest

from milters.spam import Edit, Report
from milters.spam_check import MAX_SUBJECTS
from milters.verdict import MANY_SUBJECTS, Accept
from tests.milters.test_message import SPAM, message

SIGNATURES = ["DKIM-Signature", "ARC-Seal", "ARC-Message-Signature", "DomainKey-Signature"]


def scan(_: Callable[[], bytes]) -> Report:
    return SPAM


def edits(signature: str | None, *, user: str, subjects: int = 1) -> dict[str, str | None]:
    """Return the names and values of the edits of a message judged spam."""
    made = message("big", user=user, scan=scan)
    if signature:
        made.header(signature, b"v=1; d=mail.example.edu; b=Zm9v")
    for _ in range(subjects):
        made.header("Subject", b"offer")
    verdict = made.verdict()
    assert isinstance(verdict, Accept)
    return {edit.name: edit.value for edit in verdict.edits}


@pytest.mark.parametrize("name", [*SIGNATURES, *map(str.lower, SIGNATURES)])
def test_outgoing_mail_that_is_signed_keeps_its_subject_and_is_marked_beside_it(name: str) -> None:
    made = edits(name, user="anna")
    assert "Subject" not in made
    assert made["X-Spam-Flag"] == "YES"
    assert str(made["X-Spam-Status"]).startswith("Yes")


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_strangers_mail_is_tagged_whatever_signatures_it_carries(name: str) -> None:
    assert edits(name, user="")["Subject"] == "***SPAM*** offer"


@pytest.mark.parametrize("name", [None, "Authentication-Results", "X-DKIM-Signature", "Received"])
def test_outgoing_mail_without_a_signature_is_tagged(name: str | None) -> None:
    assert edits(name, user="anna")["Subject"] == "***SPAM*** offer"


def test_each_subject_of_a_mail_is_tagged() -> None:
    made = message("big", scan=scan)
    for value in (b"first one", b"second one"):
        made.header("Subject", value)
    verdict = made.verdict()
    assert isinstance(verdict, Accept)
    assert Edit("Subject", 1, "***SPAM*** first one") in verdict.edits
    assert Edit("Subject", 2, "***SPAM*** second one") in verdict.edits


def test_spam_with_more_subjects_than_can_be_tagged_is_refused() -> None:
    made = message("big", scan=scan)
    for _ in range(MAX_SUBJECTS + 1):
        made.header("Subject", b"offer")
    assert made.verdict() == MANY_SUBJECTS
    assert len(edits(None, user="", subjects=MAX_SUBJECTS)) == 4  # Subject and three X-Spam-*
