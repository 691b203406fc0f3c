"""The bytes on descriptor 3."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovecot_auth.checkpassword.protocol import MAX_BYTES, ProtocolError, parse


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (b"alice\0secret\0\0", (b"alice", b"secret")),
        (b"alice\0secret\x00stamp\0", (b"alice", b"secret")),
        (b"alice\0\0\0", (b"alice", b"")),
        (b"\xff\xfe\0\xc3\0\0", (b"\xff\xfe", b"\xc3")),
        (b"a\0" + b"x" * 508 + b"\0\0", (b"a", b"x" * 508)),
    ],
)
def test_three_fields_are_a_name_and_a_password(raw: bytes, wanted: tuple[bytes, bytes]) -> None:
    assert len(raw) <= MAX_BYTES
    assert parse(raw) == wanted


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"alice",
        b"alice\0",
        b"alice\0secret",
        b"alice\0secret\0",
        b"alice\0secret\0stamp",
        b"alice\0secret\0\0x",
        b"alice\0secret\0\0\0",
        b"\0secret\0\0",
        b"a\0" + b"x" * 509 + b"\0\0",
    ],
)
def test_anything_else_is_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(raw)


@given(st.binary(max_size=600))
def test_hostile_bytes_only_ever_raise_protocol_error(raw: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        name, password = parse(raw)
        assert raw.startswith(name + b"\0" + password + b"\0")
