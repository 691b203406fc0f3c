"""The part of HTTP that authd supports, without a socket."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovecot_auth.http import MAX_BODY, MAX_HEAD, Decoder, ProtocolError, Request, encode, form

ONE = b"POST /verify HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nuser=a"
TWO = b"GET /health HTTP/1.0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 128, 4096])
def test_requests_survive_any_chunking(size: int) -> None:
    wire, decoder, found = ONE + TWO + ONE, Decoder(), []
    for start in range(0, len(wire), size):
        found += decoder.feed(wire[start : start + size])
    first = Request("POST", "/verify", b"user=a", keep=True)
    assert found == [first, Request("GET", "/health", b"", keep=False), first]
    assert decoder.is_idle


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (b"GET / HTTP/1.1", True),
        (b"GET / HTTP/1.1\r\nConnection: Close", False),
        (b"GET / HTTP/1.0", False),
        (b"GET / HTTP/1.0\r\nCONNECTION: keep-alive", True),
    ],
)
def test_the_peer_chooses_whether_the_connection_stays(head: bytes, *, keep: bool) -> None:
    (request,) = Decoder().feed(head + b"\r\n\r\n")
    assert request.keep == keep


def test_a_peer_that_expects_100_continue_gets_it_once() -> None:
    decoder = Decoder()
    head = b"POST /user HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 6\r\n\r\n"
    assert decoder.feed(head) == []
    assert decoder.go_ahead() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert decoder.go_ahead() == b""
    assert not decoder.is_idle
    assert decoder.feed(b"user=a") == [Request("POST", "/user", b"user=a", keep=True)]
    assert decoder.feed(head + b"user=b") == [Request("POST", "/user", b"user=b", keep=True)]
    assert decoder.go_ahead() == b""


@pytest.mark.parametrize(
    "wire",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1),
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 3000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD,
        b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD + b"\r\n\r\n",
    ],
)
def test_unsupported_http_is_a_protocol_error(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        Decoder().feed(wire)


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_hostile_bytes_only_ever_raise_protocol_error(chunks: list[bytes]) -> None:
    decoder = Decoder()
    with contextlib.suppress(ProtocolError):
        for chunk in chunks:
            for request in decoder.feed(chunk):
                form(request.body)


def test_a_form_carries_any_bytes() -> None:
    assert form(b"user=a%3Db%26&password=%00%0A+%C3%A9%FF&remote=") == {
        "user": "a=b&",
        "password": "\0\n é\udcff",
        "remote": "",
    }


@pytest.mark.parametrize("body", [b"", b"user", b"us-er=x", b"user=a&user=b", b"\xff=x"])
def test_a_malformed_form_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        form(body)


def test_an_answer_is_lines_and_an_empty_line() -> None:
    head, _, body = encode(200, {"user": "alice", "quota": "5"}, keep=True).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 20" in head
    assert b"Connection: keep-alive" in head
    assert body == b"user=alice\nquota=5\n\n"


def test_a_value_cannot_add_a_line_to_an_answer() -> None:
    with pytest.raises(ValueError, match="one line"):
        encode(200, {"user": "a\nuid=0"}, keep=True)
