"""What counts against a limit: files decoded, and all else beyond one allowance."""

import base64
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config import wire
from milters.mime.scan import Scanner
from tests.milters import oracle, strategies
from tests.milters.bodystructure import as_postfix_has_it
from tests.milters.test_message import message

MIB = 1 << 20
SIZE = 8 * MIB
# The body of a multipart in base64 that began without an empty line: read raw, then decoded.
BODY_WITHOUT_EMPTY_LINE = (
    b"Content-Type: multipart/mixed\r\nContent-Transfer-Encoding: base64\r\n--bb\r\n"
)
HEAD = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
ZIP = b"Content-Type: application/zip\r\nContent-Transfer-Encoding: "
TEXT = b"So say we all, and once more.\r\n" * (SIZE // 31)
# Ways to hide a payload outside of files: what comes before it and after it.
TRICKS = {
    "the text of a letter": (b"Content-Type: text/plain\r\n\r\n", TEXT),
    "the text of a part": (HEAD + b"--x\r\n\r\n", TEXT),
    "html": (b"Content-Type: text/html\r\n\r\n", TEXT),
    "a preamble": (HEAD, TEXT + b"--x\r\n\r\nhello\r\n--x--\r\n"),
    "an epilogue": (HEAD + b"--x\r\n\r\nhello\r\n--x--\r\n", TEXT),
    "the header of a part": (HEAD + b"--x\r\nX: ", TEXT.replace(b"\r\n", b" ") + b"\r\n\r\n"),
    "header lines of a part": (
        HEAD + b"--x\r\n",
        b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * (SIZE // 32),
    ),
    "lines that are no fields": (HEAD + b"--x\r\n", TEXT),
    "a forwarded text": (b"Content-Type: message/rfc822\r\n\r\n\r\n", TEXT),
    "fields of a forwarded message": (b"Content-Type: message/rfc822\r\n\r\nX: ", TEXT),
    "a delimiter line": (HEAD + b"--x", TEXT.replace(b"\r\n", b" ") + b"\r\n\r\nhello\r\n"),
    "base64 that is none": (
        ZIP + b"base64\r\n\r\n",
        b"!$%&()*,-.:;<=>?@[]^_`{|}~\r\n" * (SIZE // 28),
    ),
    "uuencode that is none": (
        ZIP + b"x-uuencode\r\n\r\nbegin 644 a\r\n#86)C\r\n`\r\nend\r\n",
        TEXT,
    ),
    "an encoding that comes twice": (
        ZIP + b"base64\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        TEXT,
    ),
    "an encoded message": (
        ZIP.replace(b"application/zip", b"message/rfc822")
        + b"base64\r\n\r\n"
        + b"Content-Type: application/zip\r\n\r\n",
        TEXT,
    ),
}


def total(*pieces: bytes, unseen: int = 0) -> int:
    scanner = Scanner(unseen)
    for piece in pieces:
        scanner.feed(piece)
    scanner.close()
    return scanner.total


@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_brings_in_more_than_the_allowance(trick: str) -> None:
    head, payload = TRICKS[trick]
    counted = total(head, payload)
    assert len(payload) - wire.ALLOWANCE <= counted <= len(head) + len(payload)


def test_a_header_shares_the_allowance() -> None:
    assert total(b"\r\nhello\r\n", unseen=SIZE) >= SIZE - wire.ALLOWANCE


@pytest.mark.parametrize("field", ["X-Data", "Subject", "Content-Type", "Received"])
def test_a_header_of_the_message_shares_the_allowance(field: str) -> None:
    made = message("small")
    for _ in range(SIZE // 100_000 + 1):
        made.header(field, b"x" * 100_000)
    made.body(b"hello\r\n")
    made.verdict()
    assert made.measured.size >= SIZE - wire.ALLOWANCE


def test_text_and_a_file_share_no_allowance() -> None:
    text = b"--x\r\n\r\n" + b"y" * (wire.ALLOWANCE // 2) + b"\r\n"
    file = b"--x\r\nContent-Type: application/zip\r\n\r\n" + b"z" * MIB + b"\r\n"
    assert total(HEAD + text + file) == MIB
    assert total(HEAD + text * 4 + file) >= 2 * MIB


def test_a_wastefully_coded_file_counts_by_its_size_on_the_wire() -> None:
    head = b"Content-Type: application/zip\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    body = (b"=41" * 25 + b"=\r\n") * (SIZE // 78)
    assert total(head + body) == wire.least(len(head + body)) > len(body) // 3


def test_a_file_in_base64_counts_decoded_whatever_its_size() -> None:
    head = b"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    body = base64.encodebytes(bytes(SIZE)).replace(b"\n", b"\r\n")
    assert total(head + body) == SIZE


@example((BODY_WITHOUT_EMPTY_LINE, ()))
@given(strategies.cut(st.one_of(strategies.trees, strategies.soups)))
def test_the_total_only_grows_and_never_exceeds_the_wire(
    case: tuple[bytes, tuple[int, ...]],
) -> None:
    raw = as_postfix_has_it(case[0])
    scanner, seen = Scanner(unseen=2 * MIB), [0]
    for start, end in pairwise((0, *(min(cut, len(raw)) for cut in case[1]), len(raw))):
        scanner.feed(raw[start:end])
        seen.append(scanner.total)
    scanner.close()
    seen.append(scanner.total)
    assert seen == sorted(seen)
    assert MIB <= seen[-1] <= 2 * MIB + len(raw)


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_the_least_count_grows_with_the_size_and_never_exceeds_it(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert wire.least(small) <= wire.least(large) <= large


def test_files_without_text_count_as_the_corpus_says_under_any_header() -> None:
    raw = b"Content-Type: application/zip\r\n\r\n" + b"z" * 100
    assert oracle.scanned(raw) == [100]
    assert total(raw, unseen=MIB - 100) == 100
