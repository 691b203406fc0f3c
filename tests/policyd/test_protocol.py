"""The policy protocol, byte by byte."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.protocol import MAX_REQUEST, Decoder, ProtocolError, encode
from policyd.request import Request, parse
from tests.policyd.conftest import wire

THREE = [wire(size=n, sender=f"x={n}@example.org") for n in range(3)]


@pytest.mark.parametrize("size", [1, 2, 7, 128, 4096])
def test_requests_survive_any_chunking(size: int) -> None:
    whole = b"".join(THREE)
    decoder = Decoder()
    found = [
        raw
        for start in range(0, len(whole), size)
        for raw in decoder.feed(whole[start : start + size])
    ]
    assert found == [raw[:-2] for raw in THREE]
    assert not decoder.pending


@given(cuts=st.lists(st.integers(0, 3000), max_size=8), wires=st.lists(st.binary(max_size=300)))
def test_hostile_bytes_only_raise_protocol_error(cuts: list[int], wires: list[bytes]) -> None:
    stream = b"\n\n".join([*wires, THREE[0]])
    assert _parsed(stream, []) == _parsed(stream, cuts)


def _parsed(stream: bytes, cuts: list[int]) -> list[Request | str]:
    decoder = Decoder()
    found: list[Request | str] = []
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, end in itertools.pairwise(edges):
        for raw in decoder.feed(stream[start:end]):
            try:
                found.append(parse(raw))
            except ProtocolError as error:
                found.append(str(error))
    return found


def test_a_request_without_end_is_cut_off_at_the_limit() -> None:
    decoder = Decoder()
    decoder.feed(b"x" * MAX_REQUEST)
    with pytest.raises(ProtocolError, match="16384"):
        decoder.feed(b"x")


def test_a_complete_request_over_the_limit_is_rejected() -> None:
    with pytest.raises(ProtocolError):
        Decoder().feed(wire(helo_name="x" * MAX_REQUEST))


@given(st.text())
def test_a_reply_is_one_line_or_an_error(text: str) -> None:
    if set("\r\n\0") & set(text):
        with pytest.raises(ValueError, match="one line"):
            encode(text)
    else:
        encoded = encode(text.encode("utf-8", "replace").decode())
        assert encoded.startswith(b"action=")
        assert encoded.index(b"\n") == len(encoded) - 2
