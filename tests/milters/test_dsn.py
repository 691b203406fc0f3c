"""The notice to a sender some of whose recipients were left out."""

from email import message_from_bytes
from email.message import Message

from milters import dsn
from milters.attachments import AttachmentLimit


def parts(header: bytes) -> list[Message]:
    refused = dsn.FailedRecipients(
        [AttachmentLimit("jörg@mail.example.edu", 1 << 20)],
        "Too big.",
        header,
        "4ABC",
        "now",
        "mx.example",
    )
    raw = dsn.build(refused, to="writer@mail.example.edu", postmaster="postmaster@example.edu")
    return list(message_from_bytes(raw).walk())


def test_a_recipient_beyond_ascii_is_named() -> None:
    _, words, _, _, recipient, _ = parts(b"Subject: x\r\n")
    text = words.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert "jörg@mail.example.edu (limit 1 MiB)" in text.decode()
    assert recipient["Final-Recipient"] == r"utf-8; j\x{F6}rg@mail.example.edu"


def test_the_mta_reports_by_its_own_name() -> None:
    assert parts(b"Subject: x\r\n")[3]["Reporting-MTA"] == "dns; mx.example"


def test_a_header_beyond_ascii_is_declared_8bit() -> None:
    report, *_, original = parts(b"Subject: caf\xe9\r\n")
    assert original.get_payload(decode=True) == b"Subject: caf\xe9\r\n"
    for part, encoding in ((report, "8bit"), (original, "8bit")):
        assert part["Content-Transfer-Encoding"] == encoding
    report, *_, original = parts(b"Subject: cafe\r\n")
    assert original["Content-Transfer-Encoding"] is report["Content-Transfer-Encoding"] is None


def test_a_long_header_is_cut_between_lines() -> None:
    header = b"Subject: x\r\n" * 2_000
    shown = parts(header)[-1].get_payload(decode=True)
    assert isinstance(shown, bytes)
    assert dsn.MAX_HEADER - 12 < len(shown) <= dsn.MAX_HEADER
    assert shown.endswith(b"x\r\n")
