"""Mail too big for some recipients reaches the others, and its sender gets a notice."""

from email import message_from_bytes
from typing import Any

import pytest

from milters.message import Message
from milters.postman import NotSent
from milters.spam import Report
from milters.spamd import SpamdUnavailable
from milters.verdict import NO_NOTICE, NO_SPAMD, TOO_BIG, Accept, Refuse
from tests.milters.test_message import KIB, fill, message


def mixed(**options: Any) -> Message:
    made = message("small", "big", "foreign", user="writer", **options)
    made.header("Subject", b"caf\xe9\n folded")
    made.header("X-Other", b"private")
    return fill(made, 12 * KIB)


def test_mail_reaches_recipients_it_fits_and_its_sender_gets_a_notice() -> None:
    told: list[tuple[bytes, str]] = []
    verdict = mixed(notify=lambda notice, to: told.append((notice, to))).verdict("4ABC")
    assert verdict == Accept(dropped=("<small@mail.example.edu>",))
    [(raw, to)] = told
    assert to == "writer@mail.example.edu"
    report, words, status, about, recipient, original = message_from_bytes(raw).walk()
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert "small@mail.example.edu (limit 10 KiB)" in str(words.get_payload())
    assert status.get_content_type() == "message/delivery-status"
    assert about["Reporting-MTA"] == "dns; mail.example.edu"
    assert about["X-Postfix-Queue-ID"] == "4ABC"
    assert recipient["Final-Recipient"] == "rfc822; small@mail.example.edu"
    assert (recipient["Action"], recipient["Status"]) == ("failed", "5.3.4")
    assert "smtp;\r\n 552 5.3.4 Attachments of 12 KiB" in recipient["Diagnostic-Code"]
    assert original.get_payload(decode=True) == b"Subject: caf\xe9\r\n folded\r\n"


def test_when_the_notice_cannot_be_sent_the_client_tries_again() -> None:
    def notify(*_: object) -> None:
        raise NotSent("no Postfix")

    assert mixed(notify=notify).verdict() == NO_NOTICE


def test_mail_is_refused_if_its_notice_can_never_be_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def notify(*_: object) -> None:
        raise NotSent("mailbox full", is_permanent=True)

    verdict = mixed(notify=notify).verdict("4ABC")
    assert isinstance(verdict, Refuse)
    assert (verdict.code, verdict.enhanced) == TOO_BIG
    assert "small@mail.example.edu" in verdict.text
    assert "4ABC event=dsn-failed" in caplog.text


def test_a_notice_that_was_sent_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    mixed(notify=lambda *_: None).verdict("4ABC")
    assert "4ABC event=dsn-sent to=writer@mail.example.edu" in caplog.text


def test_our_own_notice_is_not_scanned() -> None:
    def scan(_: object) -> Report:
        raise AssertionError

    made = message("big", scan=scan, is_notice=lambda number: number == b"<1@x>")
    made.header("Message-ID", b"<1@x>")
    assert made.verdict() == Accept()


def test_no_notice_is_sent_for_mail_that_spamd_defers() -> None:
    def scan(_: object) -> Report:
        raise SpamdUnavailable("timeout")

    assert mixed(scan=scan, spam={"on_spamd_loss": "tempfail"}).verdict() == NO_SPAMD


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"user": ""}, id="stranger"),
        pytest.param({"attachments": {"mixed": "refuse"}}, id="by configuration"),
        pytest.param({"attachments": {"applies_to": "both"}, "user": "small"}, id="sender"),
    ],
)
def test_mail_too_big_for_some_is_refused_for_all_if_nobody_may_be_left_out(
    options: dict[str, Any],
) -> None:
    made = message(*("small", "big"), **{"user": "writer", **options})
    verdict = fill(made, 12 * KIB).verdict()
    assert isinstance(verdict, Refuse)
    assert "small@mail.example.edu" in verdict.text or "for small" in verdict.text
