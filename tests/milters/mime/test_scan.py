"""The scanner and the `email` package agree, however a message is cut."""

import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from milters.mime import scan
from milters.mime.scan import Attachment, Scanner
from tests.milters import oracle, strategies
from tests.milters.bodystructure import as_postfix_has_it

_TESTS = Path(__file__).parents[2]
CORPUS = sorted((_TESTS / "corpus").glob("*.eml"))
COUNTED = tomllib.loads((_TESTS / "cases/mime/counted.toml").read_text())
EMAIL_DIFFERS = {*COUNTED["email"]}
if sys.version_info < (3, 13):
    EMAIL_DIFFERS |= {*COUNTED["email-before-python-3-13"]}
# The same 3,000 messages every time; others are looked for by `./dev test --slow`.
thorough = settings(
    max_examples=1500,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def agrees(raw: bytes, cuts: tuple[int, ...]) -> None:
    raw = as_postfix_has_it(raw)
    try:
        wanted = oracle.sizes(raw)
    except oracle.Differs:
        assume(False)
    assert oracle.scanned(raw, tuple(sorted(min(cut, len(raw)) for cut in cuts))) == wanted


@pytest.mark.timeout(600)
@thorough
@given(strategies.cut(strategies.trees))
def test_trees_of_parts_measure_as_the_email_package_does(
    case: tuple[bytes, tuple[int, ...]],
) -> None:
    agrees(*case)


@pytest.mark.timeout(600)
@thorough
@given(strategies.cut(strategies.soups))
def test_soups_of_lines_measure_as_the_email_package_does(
    case: tuple[bytes, tuple[int, ...]],
) -> None:
    agrees(*case)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@settings(thorough, derandomize=False, max_examples=20_000)
@given(strategies.cut(st.one_of(strategies.trees, strategies.soups)))
def test_new_random_messages_measure_as_the_email_package_does(
    case: tuple[bytes, tuple[int, ...]],
) -> None:
    agrees(*case)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_each_message_of_the_corpus_counts_the_files_it_delivers(path: Path) -> None:
    assert oracle.scanned(as_postfix_has_it(path.read_bytes())) == COUNTED["sizes"][path.stem]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_corpus_measures_as_the_email_package_does_but_for_named_cases(path: Path) -> None:
    raw = as_postfix_has_it(path.read_bytes())
    if path.stem in EMAIL_DIFFERS:
        with pytest.raises((oracle.Differs, AssertionError)):
            assert oracle.sizes(raw) == oracle.scanned(raw)
    else:
        assert oracle.sizes(raw) == oracle.scanned(raw)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_the_size_of_the_pieces_changes_nothing(path: Path, size: int) -> None:
    raw = path.read_bytes()
    assert oracle.scanned(raw, tuple(range(0, len(raw), size))) == oracle.scanned(raw)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_cut_at_any_place_changes_nothing(path: Path) -> None:
    raw = path.read_bytes()
    whole = oracle.scanned(raw)
    for at in range(len(raw)):
        assert oracle.scanned(raw, (at,)) == whole, at


@given(st.binary(max_size=2000))
def test_hostile_bytes_never_raise(raw: bytes) -> None:
    oracle.scanned(raw)


def test_an_attachment_has_its_name_type_and_decoded_size() -> None:
    scanner = Scanner()
    scanner.feed(
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
        b"Content-Type: Application/PDF; name=ignored.pdf\r\n"
        b"Content-Disposition: attachment; filename*=utf-8''%C3%BCben.pdf\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--x--\r\n"
    )
    scanner.close()
    assert scanner.attachments == [Attachment("üben.pdf", "application/pdf", 3)]
    assert scanner.exact


@given(strategies.cut(strategies.trees))
def test_the_running_total_never_exceeds_the_final_one(
    case: tuple[bytes, tuple[int, ...]],
) -> None:
    raw, cuts = case
    scanner, start, seen = Scanner(), 0, 0
    for end in (*cuts, len(raw)):
        scanner.feed(raw[start:end])
        seen, start = max(seen, scanner.total), end
    scanner.close()
    assert seen <= scanner.total


def test_more_parts_than_anybody_sends_count_as_they_stand() -> None:
    part = b"--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    bomb = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + part * (2 * scan.MAX_PARTS)
    scanner = Scanner()
    scanner.feed(bomb)
    scanner.close()
    assert not scanner.exact
    # What came before the limit was text; all after it is counted, headers and all.
    assert len(part) * scan.MAX_PARTS - 200 < scanner.total < len(bomb)


def test_deeper_nesting_than_anybody_sends_counts_as_it_stands() -> None:
    bomb = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(10_000)
    )
    scanner = Scanner()
    scanner.feed(bomb)
    scanner.close()
    assert not scanner.exact
    assert scanner.total > len(bomb) * 0.99


def test_headers_without_end_count_as_they_stand() -> None:
    scanner = Scanner()
    scanner.feed(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n")
    for _ in range(8):
        scanner.feed(b"X: y\r\n" * (1 << 17))
    scanner.close()
    assert not scanner.exact
    assert scanner.total > 8 * 6 * (1 << 17) - scan.MAX_HEADERS - (1 << 16)


@pytest.mark.parametrize("line", [b"X: ", b" ", b"x" * 999 + b": ", b"no field "])
def test_a_header_line_without_end_is_not_kept(line: bytes) -> None:
    scanner = Scanner()
    scanner.feed(line + b"a" * (scan.MAX_HEADERS // 2))
    assert len(scanner._held) <= scan.MAX_HEADER_LINE
    scanner.feed(b"\r\nContent-Type: application/pdf\r\n\r\n1234")
    scanner.close()
    assert [each.size for each in scanner.attachments] == [4]
