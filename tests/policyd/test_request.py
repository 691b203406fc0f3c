"""Parsing requests: the attributes that are read, and the requests that are rejected."""

import pytest

from policyd import request
from policyd.protocol import ProtocolError
from policyd.request import Request, parse
from tests.policyd.conftest import wire


def test_the_attributes_that_rules_read_are_parsed() -> None:
    raw = wire(
        protocol_state="RCPT",
        recipient="bob@mail.example.edu",
        recipient_count=0,
        sasl_username="alice",
        policy_context="submission",
    )
    assert parse(raw[:-2]) == Request(
        state="RCPT",
        client_address="192.0.2.7",
        server_address="192.0.2.1",
        sender="alice@mail.example.edu",
        recipient="bob@mail.example.edu",
        recipient_count=0,
        queue_id="4ABCDEF123",
        instance="1a2b.65f0c0de.7a120.0",
        size=1234,
        sasl_username="alice",
        context="submission",
    )


def test_attributes_in_another_order_are_found() -> None:
    lines = wire(sasl_username="bob").strip().split(b"\n")
    assert parse(b"\n".join([lines[0], *reversed(lines[1:])])) == parse(b"\n".join(lines))


def test_a_value_keeps_its_equal_signs() -> None:
    sender = "prvs=1234=alice@example.org"
    assert parse(wire(sender=sender)[:-2]).sender == sender


def test_unknown_attributes_and_lines_are_ignored() -> None:
    raw = wire(tls_sni="mail.example.edu")[:-2] + b"\nno equal sign"
    assert parse(raw) == parse(wire()[:-2])


def test_a_name_inside_another_name_does_not_match() -> None:
    raw = b"request=smtpd_access_policy\nprotocol_state=DATA\nx_size=7\nencryption_keysize=256"
    assert parse(raw).size == 0


@pytest.mark.parametrize("line", [b"sender=eve", b"sender", b"request=junk", b"x=1"])
@pytest.mark.parametrize("place", [1, 15, 29])
def test_duplicates_mean_the_same_before_and_after_the_order_is_learned(
    monkeypatch: pytest.MonkeyPatch, line: bytes, place: int
) -> None:
    lines = wire(x="0")[:-2].split(b"\n")
    other = wire(x="0", y="0")[:-2]
    doubled = b"\n".join([*lines[:place], line, *lines[place:]])
    monkeypatch.setattr(request, "_layouts", [])
    fresh = _meant(doubled)
    monkeypatch.setattr(request, "_layouts", [])
    assert isinstance(_meant(other), Request)  # of as many lines
    assert _meant(doubled) == fresh
    assert (fresh == "sender came twice") is line.startswith(b"sender")


def _meant(raw: bytes) -> Request | str:
    try:
        return parse(raw)
    except ProtocolError as error:
        return str(error)


def test_bytes_that_are_not_utf8_survive() -> None:
    raw = wire()[:-2].replace(b"sender=alice", b"sender=\xe9")
    assert parse(raw).sender == "\udce9@mail.example.edu"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"GET / HTTP/1.1\nHost: x",
        b"request=smtpd_access_policy",
        b"request=junk\nprotocol_state=DATA",
        b"request=smtpd_access_policy\nprotocol_state=",
        b"request=smtpd_access_policy\nprotocol_state=DATA\nsender=a\0b",
        b"request=smtpd_access_policy\nprotocol_state=DATA\nsize=-1",
        b"request=smtpd_access_policy\nprotocol_state=DATA\nsize=1e3",
        b"request=smtpd_access_policy\nprotocol_state=DATA\nrecipient_count=" + b"9" * 5000,
        "request=smtpd_access_policy\nprotocol_state=DATA\nsize=٣".encode(),
    ],
)
def test_nonsense_is_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(raw)
