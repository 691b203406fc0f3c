"""Where the scanner differs from the `email` package on purpose: what each says, and why."""

import base64
from email import message_from_bytes

import pytest

from config import wire
from milters.mime.count import MAX_LINE, QuotedPrintable
from milters.mime.part import MAX_FIELD
from milters.mime.scan import Scanner
from tests.milters import oracle


def email_says(raw: bytes) -> list[int]:
    """Return the sizes of all parts that are attachments to `email`, nothing corrected."""
    found = []
    for part in message_from_bytes(raw).walk():
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes) and part.get_content_maintype() != "text":
            found.append(len(payload))
    return found


def pdf(encoding: bytes, body: bytes) -> bytes:
    return (
        b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: " + encoding
        + b"\r\n\r\n" + body
    )  # fmt: skip


def test_base64_after_its_padding_counts() -> None:
    # Otherwise four bytes would switch the limit off: many mail programs decode it all.
    raw = pdf(b"base64", b"AA==\r\n" + b"QUJD" * 1000)
    assert email_says(raw) == [1]
    assert oracle.scanned(raw) == [3001]


def test_a_base64_character_too_many_is_dropped() -> None:
    # The email package returns the whole body undecoded, which is nobody's attachment.
    raw = pdf(b"base64", b"QUJDQUJDQ")
    assert email_says(raw) == [9]
    assert oracle.scanned(raw) == [6]


def test_base64_blocks_padded_one_by_one_may_count_half_more() -> None:
    # Rounding each down would take a step per block: 20 s for a mail of nothing else.
    # Nobody sends such blocks of one byte; of one line (57 bytes) it is 1 %.
    assert oracle.scanned(pdf(b"base64", b"QQ==\r\n" * 1000)) == [1500]
    line = base64.encodebytes(b"x" * 55)
    assert oracle.scanned(pdf(b"base64", line * 1000)) == [55 * 1000 + 500]


@pytest.mark.parametrize("encoding", [b"base64 ", b"base64;", b"base64 (RFC 2045)", b"Base64\t"])
def test_an_encoding_is_a_token(encoding: bytes) -> None:
    # RFC 2045 6.1; mail programs decode these, so the decoded size counts.
    raw = pdf(encoding, b"QUJD")
    assert email_says(raw) == [4]
    assert oracle.scanned(raw) == [3]


def test_an_encoded_message_is_one_attachment() -> None:
    # RFC 2046 5.2.1 forbids it. To email its base64 is the message's text, which does
    # not count, so a file of any size would pass as a message.
    raw = (
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"QUJD" * 100
    )
    assert email_says(raw) == []
    assert oracle.scanned(raw) == [300]


def test_a_delivery_status_is_a_leaf() -> None:
    # It holds fields; mail programs show it as it is, or as a file.
    status = (
        b"Reporting-MTA: dns; mx\r\n\r\n"
        b"Content-Type: application/pdf\r\nFinal-Recipient: rfc822; a@b\r\n"
    )
    raw = b"Content-Type: message/delivery-status\r\n\r\n" + status
    assert email_says(raw) == [0]
    assert oracle.scanned(raw) == [len(status)]


def test_a_field_of_more_than_four_kilobytes_may_have_a_name() -> None:
    # Reading parameters takes quadratic time.
    field = b"Content-Disposition: inline; x=" + b"y" * MAX_FIELD + b"\r\n"
    assert message_from_bytes(field + b"\r\nhello").get_filename() is None
    assert oracle.scanned(field + b"\r\nhello") == [5]


@pytest.mark.parametrize("end", [b"\r\n", b"; filename=f.txt\r\n"])
def test_a_field_of_more_than_64_parameters_may_have_a_name(end: bytes) -> None:
    field = b"Content-Disposition: inline" + b"; x=y" * 100 + end
    assert oracle.scanned(field + b"\r\nhello") == [5]


def test_a_quoted_printable_line_of_64_kib_is_decoded_in_pieces() -> None:
    # In one piece all of it is the soft line break that "=" and a bare CR begin.
    counter = QuotedPrintable()
    counter.take(b"=\r" + b"a" * (2 * MAX_LINE))
    counter.take(b"b" * 10)
    assert counter.finish(strip=False) > 0


def test_an_unreadable_boundary_is_ignored() -> None:
    # The email package raises on such charsets.
    raw = b"Content-Type: multipart/mixed; boundary*=idna''%41\r\n\r\n--A\r\n"
    assert oracle.scanned(raw) == [5]


def test_a_name_in_sections_with_and_without_a_number_counts() -> None:
    # The email package raises TypeError.
    field = b"Content-Type: text/plain; name*0=a; name*=b\r\n"
    assert oracle.scanned(field + b"\r\n--a\r\n") == [5]


def test_uuencode_in_an_encoded_text_is_text() -> None:
    # Roundcube looks for it there, too. Decoding twice is not worth it for mail that nobody
    # sends; such a text has the allowance, and counts undecoded beyond it.
    text = b"begin 644 x\r\n#86)C\r\n`\r\nend\r\n"
    head = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: "
    assert oracle.scanned(head + b"8bit\r\n\r\n" + text) == [3]
    assert oracle.scanned(head + b"base64\r\n\r\n" + base64.encodebytes(text)) == []


def test_reading_base64_with_a_semicolon_hides_no_more_than_the_allowance() -> None:
    # Dovecot knows no "base64;", so a mail program may save the encoded text.
    body = b"QUJD" * (1 << 20)
    raw = pdf(b"base64;", body)
    scanner = Scanner()
    scanner.feed(raw)
    scanner.close()
    assert [each.size for each in scanner.attachments] == [3 << 20]
    assert scanner.total >= len(body) - wire.ALLOWANCE
