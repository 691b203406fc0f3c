"""The notice to a sender some of whose recipients were left out."""

from email import message_from_bytes

from milters import notice
from milters.attachments import Limit

ASIDE = notice.Refused(
    [Limit("jörg@mail.example.edu", 1 << 20)], "Too big.", b"Subject: x\r\n", "4ABC", "now"
)


def test_a_recipient_beyond_ascii_is_named() -> None:
    raw = notice.build(ASIDE, to="writer@mail.example.edu", postmaster="postmaster@example.edu")
    _, words, _, _, recipient, _ = message_from_bytes(raw).walk()
    text = words.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert "jörg@mail.example.edu (limit 1 MiB)" in text.decode()
    assert recipient["Final-Recipient"] == r"utf-8; j\x{F6}rg@mail.example.edu"
