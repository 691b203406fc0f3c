"""What a verdict does to the header."""

import pytest

from milters import spam
from milters.spam import Edit, Field, Report

SPAM = Report(is_spam=True, score=12.34, threshold=5.0, tests=("GTUBE", "MISSING_DATE"))
HAM = Report(is_spam=False, score=-0.1, threshold=5.0)


def test_forged_verdicts_are_removed_from_the_last_to_the_first() -> None:
    fields = [
        Field("X-Spam-Flag", b"NO"),
        Field("Subject", b"x"),
        Field("x-spam-flag", b"NO"),
        Field("X-SPAM-Anything", b"y"),
        Field("X-Spammer", b"stays"),
    ]
    assert spam.removals(fields) == [
        Edit("X-SPAM-Anything", 1, None),
        Edit("x-spam-flag", 2, None),
        Edit("X-Spam-Flag", 1, None),
    ]


def test_spam_gets_flag_score_and_status() -> None:
    assert spam.verdict(SPAM) == [
        Edit("X-Spam-Flag", 0, "YES"),
        Edit("X-Spam-Score", 0, "12.3"),
        Edit("X-Spam-Status", 0, "Yes, score=12.3 required=5.0 tests=GTUBE, MISSING_DATE"),
    ]


def test_ham_gets_no_flag() -> None:
    assert spam.verdict(HAM) == [
        Edit("X-Spam-Score", 0, "-0.1"),
        Edit("X-Spam-Status", 0, "No, score=-0.1 required=5.0 tests=none"),
    ]


def test_a_long_status_is_folded_and_cut() -> None:
    report = Report(
        is_spam=True, score=99, threshold=5, tests=tuple(f"RULE_{n}" for n in range(200))
    )
    status = spam.verdict(report)[2].value
    assert status is not None
    assert len(status) < 1200
    assert all(len(line) < 80 for line in status.split("\n"))
    assert all(line.startswith("\t") for line in status.split("\n")[1:])


def test_a_mail_that_was_not_scanned_has_a_header_that_says_so() -> None:
    assert spam.unscanned("spamd timeout") == [Edit("X-Spam-Status", 0, "Unknown, spamd timeout")]


def trace(*, sender: str = "<a@bank.example>", helo: str = "mx.bank.example") -> list[str]:
    client = spam.Client("192.0.2.1", "rdns.example", helo)
    raw = spam.trace(client, sender, authenticated=False, date="now")
    return raw.decode("utf-8", "surrogateescape").split("\r\n")


def test_the_trace_has_sender_helo_name_and_address() -> None:
    assert trace() == [
        "X-Envelope-From: <a@bank.example>",
        "Received: from mx.bank.example (rdns.example [192.0.2.1])",
        "\tby gatepost with ESMTP (envelope-from <a@bank.example>);",
        "\tnow",
        "",
    ]


@pytest.mark.parametrize(
    "sender", ["<>", '<"a b"@bank.example>', "<a)(@b.example>", "<josé@b.example>"]
)
def test_a_sender_that_fits_no_comment_stands_in_its_own_field_alone(sender: str) -> None:
    lines = trace(sender=sender)
    assert lines[0] == f"X-Envelope-From: {sender}"
    assert lines[2] == "\tby gatepost with ESMTP;"


def test_a_helo_cannot_forge_the_name_from_dns() -> None:
    assert trace(helo="")[1] == "Received: from rdns.example (rdns.example [192.0.2.1])"


@pytest.mark.parametrize("byte", range(256))
def test_no_byte_of_helo_or_sender_forges_another_line_or_word(byte: int) -> None:
    text = bytes([byte]).decode("utf-8", "surrogateescape")
    lines = trace(sender=f"<a{text}b@c.example>", helo=f"mx{text}(x[198.51.100.9])by y")
    assert len(lines) == 5
    words = lines[1].removeprefix("Received: from ").split(" ")
    assert words[1:] == ["(rdns.example", "[192.0.2.1])"]
    assert not set(words[0]) & set('()<>;"\\@')
    assert lines[0].isprintable() or not text.isprintable()
    assert set(lines[0]).isdisjoint("\n\0")
