"""policyd's early rule, which knows the declared SIZE, and the milter, which has the message."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config import wire
from milters import attachments
from milters.attachments import AttachmentLimit
from policyd.action import DUNNO
from tests.milters.test_message import message
from tests.policyd.conftest import MakeFacts
from tests.policyd.test_decide import text

MIB = 1 << 20
LIMIT = 50 * MIB  # students, as shipped
# 68.5 MiB of base64 and the allowance: the last size that is not refused at once, and the next.
FITS = LIMIT * 137 // 100 + wire.ALLOWANCE


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    declared=st.integers(1, 4 * FITS) | st.integers(FITS - 5, FITS + 5),
    header=st.integers(0, 2 * MIB),
    body=st.integers(0, 2 * MIB),
    kind=st.sampled_from([b"text/plain", b"application/zip", b"multipart/mixed; boundary=x"]),
)
def test_policyd_never_refuses_what_the_milter_would_accept(
    make_facts: MakeFacts, declared: int, header: int, body: int, kind: bytes
) -> None:
    made = message("bob", declared=declared)
    made.header("Content-Type", kind)
    made.header("X-Other", b"x" * header)
    made.body(b"y" * body)
    made.verdict()
    accepted = not attachments.over([AttachmentLimit("bob", LIMIT)], made.measured.size)
    said = text(
        make_facts(), protocol_state="RCPT", recipient="bob@mail.example.edu", size=declared
    )
    assert (said == DUNNO) or not accepted


@pytest.mark.parametrize(("size", "fits"), [(FITS, True), (FITS + 1, False)])
def test_policyd_and_the_milter_refuse_from_the_same_size_on(
    make_facts: MakeFacts, size: int, *, fits: bool
) -> None:
    said = text(make_facts(), protocol_state="RCPT", recipient="bob@mail.example.edu", size=size)
    assert (said == DUNNO) is fits
    assert (wire.least(size) <= LIMIT) is fits
