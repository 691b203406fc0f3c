"""Where the scanner differs from the `email` package on purpose: what each says, and why."""

import base64
from email import message_from_bytes

import pytest

from milters.mime_count import MAX_LINE, QuotedPrintable
from milters.mime_part import MAX_FIELD
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


def test_base64_goes_on_after_its_padding() -> None:
    # Or else four bytes would switch the limit off; many mail programs decode it all.
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


def test_a_delivery_status_is_not_opened() -> None:
    raw = (
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\n"
        b"Content-Type: application/pdf\r\nFinal-Recipient: rfc822; a@b\r\n"
    )
    assert email_says(raw) == [0]
    assert oracle.scanned(raw) == []


def test_a_field_of_more_than_four_kilobytes_may_have_a_name() -> None:
    # Reading parameters takes quadratic time.
    field = b"Content-Disposition: inline; x=" + b"y" * MAX_FIELD + b"\r\n"
    assert message_from_bytes(field + b"\r\nhello").get_filename() is None
    assert oracle.scanned(field + b"\r\nhello") == [5]


@pytest.mark.parametrize("end", [b"\r\n", b"; filename=f.txt\r\n"])
def test_a_field_of_more_than_64_parameters_may_have_a_name(end: bytes) -> None:
    field = b"Content-Disposition: inline" + b"; x=y" * 100 + end
    assert oracle.scanned(field + b"\r\nhello") == [5]


def test_a_header_name_has_at_most_a_kilobyte() -> None:
    field = b"x" * 9000 + b": y\r\nContent-Type: application/pdf\r\n\r\n1234"
    assert email_says(field) == [4]
    assert oracle.scanned(field) == []


def test_a_delimiter_is_followed_by_at_most_a_kilobyte_of_blanks() -> None:
    raw = (
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
        b"Content-Type: image/png\r\n\r\n12\r\n--x--" + b" " * 2000
    )
    assert email_says(raw) == [2]
    assert oracle.scanned(raw) == [9 + 2000]


def test_a_quoted_printable_line_of_64_kib_is_decoded_in_pieces() -> None:
    # In one piece all of it is the soft line break that "=" and a bare CR begin.
    counter = QuotedPrintable()
    counter.take(b"=\r" + b"a" * (2 * MAX_LINE))
    counter.take(b"b" * 10)
    assert counter.finish(strip=False) > 0


def test_a_boundary_nobody_can_read_is_none() -> None:
    # The email package raises on such charsets.
    raw = b"Content-Type: multipart/mixed; boundary*=idna''%41\r\n\r\n--A\r\n"
    assert oracle.scanned(raw) == [5]


@pytest.mark.parametrize(
    "field",
    [
        b"Content-Type: multipart/mixed; boundary*0=a; boundary*=b\r\n",
        b"Content-Type: text/plain; name*0=a; name*=b\r\n",
    ],
)
def test_sections_with_and_without_a_number_count(field: bytes) -> None:
    # The email package raises TypeError.
    assert oracle.scanned(field + b"\r\n--a\r\n") == [5]


def test_uuencoded_text_within_text_is_text() -> None:
    # As for email; named because old mail programs show it as a file.
    raw = b"Content-Type: text/plain\r\n\r\nbegin 644 x\r\n#86)C\r\n`\r\nend\r\n"
    assert email_says(raw) == oracle.scanned(raw) == []
