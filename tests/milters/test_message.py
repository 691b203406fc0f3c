"""A message from envelope to verdict, without libmilter."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from milters.dependencies import Dependencies, Notify, Scan
from milters.envelope import Envelope
from milters.message import Message
from milters.spam import Edit, Report
from milters.spam_check import MAX_VERDICTS
from milters.spamd import SpamdUnavailable
from milters.verdict import FORGED, NO_SPAMD, Accept, Refuse
from tests.conftest import settings_for

KIB = 1 << 10
SPAM = Report(is_spam=True, score=1000.0, threshold=5.0)


class Table:
    """Limits from a dictionary: in memory, not a mock."""

    def __init__(self, **sizes: int) -> None:
        self._sizes = sizes

    def limit_for(self, address: str) -> int | None:
        return self._sizes.get(self.owner(address))

    def owner(self, address: str) -> str:
        return address.partition("@")[0].partition("+")[0].lower()


LIMITS = Table(small=10 * KIB, big=500 * KIB)


def no_notice(notice: bytes, to: str) -> None:
    raise AssertionError(f"nobody should be told: {to} {notice!r}")


def message(
    *recipients: str,
    user: str = "",
    declared: int | None = None,
    scan: Scan | None = None,
    notify: Notify = no_notice,
    trusted: bool = False,
    is_notice: Callable[[bytes], bool] = lambda _: False,
    **tables: Any,
) -> Message:
    tools = Dependencies(
        settings_for("sqlite:////nowhere", **tables), LIMITS, scan, notify, is_notice
    )
    envelope = Envelope("192.0.2.1", "client", "me", "<a@b>", user, trusted, declared, "now")
    made = Message(envelope, tools)
    for each in recipients:
        made.recipient(f"<{each}@mail.example.edu>")
    return made


def fill(made: Message, size: int, kind: bytes = b"application/pdf") -> Message:
    made.header("Content-Type", kind)
    for _ in range(size // KIB):
        if not made.body(b"x" * KIB):
            break
    return made


def test_an_attachment_over_the_limit_is_refused_with_limit_size_and_advice() -> None:
    assert fill(message("small"), 12 * KIB).verdict() == Refuse(
        "552",
        "5.3.4",
        "Attachments of 12 KiB are over the limit of 10 KiB for small@mail.example.edu. "
        "Send a cloud link instead.",
    )


@pytest.mark.parametrize("recipient", ["big", "foreign"])
def test_an_attachment_within_the_limit_is_accepted(recipient: str) -> None:
    assert fill(message(recipient), 12 * KIB).verdict() == Accept()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('<"small"@mail.example.edu>', ""),
        ('<"sm\\all"@mail.example.edu>', ""),
        ("<@relay:small@mail.example.edu>", "small@mail.example.edu"),
        ('<"small+ x"@mail.example.edu>', '"small+ x"@mail.example.edu'),
    ],
)
def test_a_recipient_written_oddly_has_the_same_limit(written: str, meant: str) -> None:
    made = message(user="writer", notify=lambda *_: None)
    made.recipient("<big@mail.example.edu>")
    made.recipient(written, meant=meant)
    verdict = fill(made, 12 * KIB).verdict()
    assert isinstance(verdict, Accept)
    assert written in verdict.dropped
    assert "<big@mail.example.edu>" not in verdict.dropped


def test_text_is_no_attachment() -> None:
    assert fill(message("small"), 12 * KIB, b"text/plain").verdict() == Accept()


def test_a_message_without_a_body_gets_a_verdict() -> None:
    assert message("small").verdict() == Accept()


def test_mail_that_is_longer_than_declared_counts_by_its_length() -> None:
    assert fill(message("small", declared=9 * KIB), 10 * KIB, b"text/plain").verdict() == Accept()
    refused = fill(message("small", declared=9 * KIB), 11 * KIB, b"text/plain").verdict()
    assert isinstance(refused, Refuse)


@pytest.mark.parametrize(
    ("applies_to", "recipient", "user", "accepted"),
    [
        ("recipient", "big", "small", True),
        ("recipient", "small", "big", False),
        ("sender", "small", "big", True),
        ("sender", "big", "small", False),
        ("sender", "small", "", True),
        ("both", "big", "small", False),
        ("both", "small", "big", False),
        ("both", "big", "big", True),
    ],
)
def test_the_limit_of_recipient_sender_or_both_applies(
    applies_to: str, recipient: str, user: str, accepted: bool
) -> None:
    made = message(recipient, user=user, attachments={"applies_to": applies_to})
    assert isinstance(fill(made, 12 * KIB).verdict(), Accept) is accepted


def test_no_more_body_is_asked_for_when_nothing_needs_it() -> None:
    assert not message("foreign").body(b"x")


def test_no_more_body_is_asked_for_when_the_verdict_is_fixed() -> None:
    made = message("small")
    made.header("Content-Type", b"application/pdf")
    piece = b"x" * (1 << 20)
    asked = 1
    while made.body(piece):
        asked += 1
    assert asked == 257
    verdict = made.verdict()
    assert isinstance(verdict, Refuse)
    assert "more than 257" in verdict.text or "more than 256" in verdict.text


def test_no_more_is_asked_for_of_mail_that_is_far_longer_than_declared() -> None:
    made = message("small", declared=1)
    piece = b"x" * (1 << 20)
    asked = 1
    while made.body(piece):
        asked += 1
    assert asked == 257
    verdict = made.verdict()
    assert isinstance(verdict, Refuse)
    assert "more than 257 MiB" in verdict.text


def test_spamd_gets_the_header_and_the_first_part_of_the_body() -> None:
    seen: list[bytes] = []

    def scan(read: Callable[[], bytes]) -> Report:
        seen.append(read())
        return SPAM

    made = message("foreign", scan=scan, spam={"scan": "2K"})
    made.header("Subject", b"hello\n folded")
    assert made.body(b"1" * 2000)
    assert not made.body(b"2" * 2000)
    verdict = made.verdict()
    assert isinstance(verdict, Accept)
    assert Edit("Subject", 1, "***SPAM*** hello\n folded") in verdict.edits
    trace, _, rest = seen[0].partition(b"now\r\n")
    assert trace.startswith(b"X-Envelope-From: <a@b>\r\nReceived: from me (client [192.0.2.1])")
    assert rest == b"Subject: hello\r\n folded\r\n\r\n" + b"1" * 2000 + b"2" * 48


def test_a_long_start_for_spamd_is_whole() -> None:
    seen: list[bytes] = []

    def scan(read: Callable[[], bytes]) -> Report:
        seen.append(read())
        return SPAM

    made = message("foreign", scan=scan)
    pieces = [bytes([n]) * 65535 for n in range(12)]
    for piece in pieces:
        if not made.body(piece):
            break
    made.verdict()
    assert made._spam._spool._file is not None
    # Not /tmp, which may be memory.
    spool = Path(f"/proc/self/fd/{made._spam._spool._file.fileno()}").readlink()
    assert spool.parent == Path("/var/tmp")
    made.close()
    assert seen[0].endswith(b"".join(pieces)[: 512 * KIB])


def test_refused_mail_is_not_scanned() -> None:
    def scan(_: object) -> Report:
        raise AssertionError

    assert isinstance(fill(message("small", scan=scan), 12 * KIB).verdict(), Refuse)


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("deliver", Accept((Edit("X-Spam-Status", 0, "Unknown, spamd timeout"),))),
        ("tempfail", NO_SPAMD),
    ],
)
def test_without_spamd_the_setting_decides(mode: str, wanted: Accept | Refuse) -> None:
    def scan(_: object) -> Report:
        raise SpamdUnavailable("timeout")

    assert message("big", scan=scan, spam={"on_spamd_loss": mode}).verdict() == wanted


def test_spam_headers_are_removed_from_outside_mail_and_kept_on_local_mail() -> None:
    removal = (Edit("X-Spam-Flag", 1, None),)
    for user, trusted, edits in (("", False, removal), ("big", False, ()), ("", True, ())):
        made = message("big", user=user, trusted=trusted)
        made.header("X-Spam-Flag", b"NO")
        assert made.verdict() == Accept(edits)


def test_more_forged_verdicts_than_filters_write_are_refused() -> None:
    for user, trusted, wanted in (("", False, FORGED), ("big", False, Accept())):
        made = message("big", user=user, trusted=trusted)
        for _ in range(MAX_VERDICTS + 1):
            made.header("X-Spam-Flag", b"NO")
        assert made.verdict() == wanted


def test_endless_header_fields_take_almost_no_memory() -> None:
    made = message("small", "big")
    made.header("Content-Type", b"application/pdf")
    tracemalloc.start()
    for name in ("Subject", "Content-Type", "X-Spam-Flag") * 5_000:
        made.header(name, b"text/plain")
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 64 * KIB


@pytest.mark.parametrize(
    ("user", "trusted", "judged"), [("", True, False), ("big", False, False), ("", False, True)]
)
def test_settings_decide_whose_mail_is_not_scanned(user: str, trusted: bool, judged: bool) -> None:
    scanned: list[bytes] = []

    def scan(read: Callable[[], bytes]) -> Report:
        scanned.append(read())
        return SPAM

    options: dict[str, Any] = {"spam": {"scan_authenticated": False}}
    message("big", user=user, trusted=trusted, scan=scan, **options).verdict()
    assert bool(scanned) is judged
