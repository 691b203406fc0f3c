"""The attachment scanner against one ``bytes.count`` pass over the same data.

Each case is a message of one attachment, fed in pieces of 64 KiB as libmilter does.
`BytesFeedParser`, which every other milter in Python uses, stands in the same table.
"""

import argparse
import base64
import os
import quopri
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from email.feedparser import BytesFeedParser

from bench.table import Row, Table
from milters.mime.scan import Scanner

MIB = 1 << 20
PIECE = 64 << 10  # what libmilter hands over (MILTER_CHUNK_SIZE)
ROUNDS = 5
# BytesFeedParser keeps everything: 700 MB would take 3.7 GB and 15 s.
PARSER_MIB = 60

_HEAD = (
    b'Content-Type: multipart/mixed; boundary="%b"\r\n\r\n--%b\r\n'
    b"Content-Type: application/octet-stream; name=x\r\nContent-Transfer-Encoding: %b\r\n\r\n"
)
_TEXT = "Grüße aus der Universität: 3 = 1 + 2, und so geht es weiter und weiter. " * 20 + "\n"


def _cases() -> dict[str, tuple[bytes, bytes]]:
    """Return a header and one piece of body for each case."""
    boundary = b"=_Part_2718_281828.4590452353"
    base64_lines = base64.encodebytes(os.urandom(PIECE)).replace(b"\n", b"\r\n")
    printable = quopri.encodestring(_TEXT.encode() * PIECE).replace(b"\n", b"\r\n")
    dashes = (b"-" * 76 + b"\r\n") * PIECE

    def case(encoding: bytes, body: bytes, mark: bytes = boundary) -> tuple[bytes, bytes]:
        return _HEAD % (mark, mark, encoding), body[:PIECE]

    return {
        "base64": case(b"base64", base64_lines),
        "quoted-printable": case(b"quoted-printable", printable),
        "lines of dashes": case(b"7bit", dashes),
        # Begins as every line does; as a whole it fits none.
        "lines of dashes, boundary of dashes": case(b"7bit", dashes, b"-" * 60 + b"x"),
    }


def run(options: argparse.Namespace) -> list[Table]:
    """Measure every case; the references of a round are measured beside it."""
    size = 100 if options.quick else 700
    table = Table("MIME: measuring attachments", "one bytes.count(b'\\n') over the same pieces")
    for name, (head, piece) in _cases().items():
        count = 0 if name != "base64" else size
        pieces = (count or size // 4) * MIB // PIECE
        _measure(table, name, head, piece, pieces)
    table.rows += [
        _memory("gatepost", size, Scanner(), note="limit 1 MiB"),
        _memory("BytesFeedParser", PARSER_MIB, BytesFeedParser()),
    ]
    return [table]


def _measure(table: Table, case: str, head: bytes, piece: bytes, pieces: int) -> None:
    references, scans, ratios = [], [], []
    few = min(pieces, PARSER_MIB * MIB // PIECE)
    for _ in range(ROUNDS):
        references.append(_rate(pieces, lambda: _count(piece, pieces)))
        scans.append(_rate(pieces, lambda: _scan(head, piece, pieces)))
        ratios.append(scans[-1] / references[-1])
    reference = statistics.median(references)
    parsed = _rate(few, lambda: _parse(head, piece, few))
    table.rows += [
        Row("bytes.count", case, reference, "MB/s"),
        Row("gatepost", case, statistics.median(scans), "MB/s", statistics.median(ratios)),
        Row("BytesFeedParser", case, parsed, "MB/s", parsed / reference, f"of {few // 16} MiB"),
    ]


def _rate(pieces: int, work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return pieces * PIECE / 1e6 / (time.perf_counter() - start)


def _count(piece: bytes, pieces: int) -> None:
    for _ in range(pieces):
        piece.count(b"\n")


def _scan(head: bytes, piece: bytes, pieces: int) -> None:
    scanner = Scanner()
    scanner.feed(head)
    for _ in range(pieces):
        scanner.feed(piece)
    scanner.close()
    assert len(scanner.attachments) == 1


def _parse(head: bytes, piece: bytes, pieces: int) -> None:
    parser = BytesFeedParser()
    parser.feed(head)
    for _ in range(pieces):
        parser.feed(piece)
    for part in parser.close().walk():
        part.get_payload(decode=True)


def _fresh(piece: bytes, pieces: int) -> Iterator[bytes]:
    """Yield copies, as libmilter gives a new object each time."""
    for _ in range(pieces):
        yield bytes(bytearray(piece))


def _memory(name: str, size: int, reader: Scanner | BytesFeedParser, note: str = "") -> Row:
    """Return how far Python's memory grows while *reader* takes a whole message."""
    head, piece = _cases()["base64"]
    reader.feed(head)
    tracemalloc.start()
    for each in _fresh(piece, size * MIB // PIECE):
        reader.feed(each)
    reader.close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Row(name, f"peak memory over {size} MiB", peak / MIB, "MiB", note=note)
