"""However libmilter cuts a body, the verdict and what spamd gets are the same (check 12)."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from milters.dependencies import Dependencies
from milters.envelope import Envelope
from milters.message import Message
from milters.spam import Report
from milters.verdict import Accept, Refuse, Verdict
from tests.conftest import settings_for
from tests.milters import oracle
from tests.milters.mime.test_scan import CORPUS

SETTINGS = settings_for("sqlite:////nowhere", spam={"scan": "1K"})
HAM = Report(is_spam=False, score=0, threshold=5)


@dataclass
class Site:
    """A site where everybody may have *limit* bytes, and what its spamd was given."""

    limit: int
    given: bytes = b""

    def limit_for(self, address: str) -> int:  # noqa: ARG002 - Limits' interface
        return self.limit

    def owner(self, address: str) -> str:
        return address

    def scan(self, read: Callable[[], bytes]) -> Report:
        self.given = read()
        return HAM


def judged(raw: bytes, cuts: Sequence[int], limit: int) -> tuple[Verdict, bytes]:
    """Return the verdict on *raw*, its body cut at *cuts*, and what spamd got."""
    site = Site(limit)
    made = Message(
        Envelope("192.0.2.1", "client", "", "<a@b>", "", trusted=False, declared=None, date="now"),
        Dependencies(SETTINGS, site, site.scan, lambda *_: None),
    )
    made.recipient("<anna@mail.example.edu>")
    head, _, body = raw.partition(b"\r\n\r\n")
    for line in head.replace(b"\r\n ", b"\n ").replace(b"\r\n\t", b"\n\t").split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon and name.isascii():
            made.header(name.decode(), value.removeprefix(b" "))
    start = 0
    for end in (*sorted(min(cut, len(body)) for cut in cuts), len(body)):
        if not made.body(body[start:end]):
            break
        start = end
    verdict = made.verdict()
    made.close()
    return verdict, site.given


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_10_000_cuts_change_neither_the_verdict_nor_what_spamd_gets(path: Path) -> None:
    raw = path.read_bytes()
    total = sum(oracle.scanned(raw))
    chance = random.Random(path.stem)  # noqa: S311 - no secret
    for limit in (total, max(0, total - 1)):  # it fits, and it does not
        whole = judged(raw, (), limit)
        for _ in range(10_000 // len(CORPUS)):
            cuts = [chance.randrange(len(raw) + 1) for _ in range(chance.randrange(1, 12))]
            assert judged(raw, cuts, limit) == whole, cuts


def test_the_corpus_has_mail_of_both_verdicts() -> None:
    raw = (CORPUS[0].parent / "one-attachment.eml").read_bytes()
    total = sum(oracle.scanned(raw))
    verdicts = [type(judged(raw, (), limit)[0]) for limit in (total, total - 1)]
    assert verdicts == [Accept, Refuse]
