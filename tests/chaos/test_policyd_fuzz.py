"""Check 4: every mutation of a request is a request or a protocol error."""

import random

import pytest

from policyd.protocol import Decoder, ProtocolError
from policyd.request import Request, parse
from tests.policyd.conftest import wire


def fuzz(inputs: int) -> None:
    """Parse *inputs* mutated requests; each whole and in pieces must mean the same."""
    chance = random.Random(4)  # noqa: S311 - reproducible noise
    seed = wire(sender="prvs=1=a@b.example", sasl_username="é")
    junk = (b"\0", b"\n", b"\n\n", b"=", b"\xff\xfe", b"size=-1", b"\r\n", b"request=", b"9" * 40)
    for _ in range(inputs // 50):
        data = bytearray(seed * 50)
        for _ in range(100):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(40)] = chance.choice(junk)
        cut = chance.randrange(len(data) + 1)
        assert _meant(bytes(data), cut) == _meant(bytes(data), 0)


def _meant(data: bytes, cut: int) -> list[Request | str]:
    decoder = Decoder()
    found: list[Request | str] = []
    for raw in [*decoder.feed(data[:cut]), *decoder.feed(data[cut:])]:
        try:
            found.append(parse(raw))
        except ProtocolError as error:
            found.append(str(error))
    return found


def test_two_hundred_thousand_mutations_are_requests_or_protocol_errors() -> None:
    fuzz(200_000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_million_mutations_are_requests_or_protocol_errors() -> None:
    fuzz(10_000_000)
