"""Macro packets as a grammar: whatever pairs come, for whichever step, in whatever order.

libmilter reads past a list that ends in a name without a value, which no Postfix sends:
docs/decisions.md says what that costs. All else must hold.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.milters.client import connected
from tests.milters.conftest import Milter

pytestmark = pytest.mark.integration
STAFF = "<staff@mail.example.edu>"
OURS = (b"i", b"j", b"{auth_authen}", b"{client_addr}", b"{client_name}", b"{rcpt_addr}")
_TEXT = st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b""))
_NAME = st.one_of(st.sampled_from(OURS), _TEXT, st.sampled_from([b"{i}", b"{", b"}", b"{}", b"{i"]))
_PAIRS = st.lists(st.tuples(_NAME, _TEXT), max_size=8)
# The steps that have macros, and bytes that are no step.
_STEP = st.one_of(
    st.sampled_from([bytes([c]) for c in b"CHMRTNE"]), st.binary(min_size=1, max_size=1)
)
_PACKET = st.tuples(_STEP, _PAIRS)


def packed(step: bytes, pairs: list[tuple[bytes, bytes]]) -> bytes:
    return step + b"".join(name + b"\0" + value + b"\0" for name, value in pairs)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(packets=st.lists(st.lists(_PACKET, max_size=3), min_size=4, max_size=4))
def test_any_macros_still_lead_to_a_verdict(
    shared: Milter, packets: list[list[tuple[bytes, list[tuple[bytes, bytes]]]]]
) -> None:
    before_mail, before_rcpt, before_body, before_end = packets
    with connected(shared.address) as client:
        client.connect()

        def macros(several: list[tuple[bytes, list[tuple[bytes, bytes]]]]) -> None:
            for step, pairs in several:
                client.send(b"D", packed(step, pairs))

        for _ in range(2):
            macros(before_mail)
            client.mail()
            macros(before_rcpt)
            client.rcpt(STAFF)
            macros(before_body)
            client.body(b"x")
            macros(before_end)
            assert client.end().word == b"c"
    with connected(shared.address) as client:
        client.connect()
        assert client.message(STAFF).word == b"c"
    assert shared.process.alive


@pytest.mark.parametrize("step", [bytes([c]) for c in b"CHMRTNE"])
@pytest.mark.parametrize("data", [b"", b"\0\0", b"i\0\0", b"i\0" + b"x" * 60_000 + b"\0"])
def test_an_empty_or_large_list_is_as_good_as_none(
    shared: Milter, step: bytes, data: bytes
) -> None:
    with connected(shared.address) as client:
        client.connect()
        client.send(b"D", step + data)
        assert client.message(STAFF).word == b"c"
    assert shared.process.alive


def test_a_value_that_a_step_repeats_is_the_later_one(shared: Milter) -> None:
    with connected(shared.address) as client:
        client.connect()
        client.macros(b"M", i="4ONE", auth_authen="student")
        client.macros(b"M", i="4TWO", auth_authen="staff")
        client.mail()
        client.rcpt(STAFF)
        client.body(b"x")
        client.end("4TWICE")
    [line] = [line for line in shared.log().splitlines() if " 4TWICE " in line]
    assert "user=staff" in line
