"""Every byte in every attribute of a policy request: a reply or a close, and others continue."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.policyd.conftest import wire
from tests.policyd.daemon import Daemon, configure, prepared, running

pytestmark = pytest.mark.integration
# Byte 10 ends an attribute; byte 0 is in no request of Postfix's and is tried apart.
EVERY_BYTE = [bytes([value]) for value in range(1, 256) if value != ord("\n")]
TEXTS = (
    "client_address", "client_name", "helo_name", "sender", "recipient", "queue_id", "instance",
    "sasl_username", "policy_context", "protocol_state", "ccert_subject",
)  # fmt: skip
NUMBERS = ("recipient_count", "size")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder: Path = tmp_path_factory.mktemp("policyd")
    url = prepared(f"sqlite:///{folder}/gatepost.db")
    limits = '[limits]\nclient = ["100000/1h"]\n'
    with running(configure(folder, url, limits)) as started:
        yield started


def holding(attribute: str, text: bytes, number: int) -> bytes:
    """Return a request of its own message with *text* in *attribute*."""
    values: dict[str, object] = {"instance": f"bytes-{attribute}-{number}", "queue_id": "4ABC"}
    return wire(**{**values, attribute: "PLACE"}).replace(b"PLACE", text)


@pytest.mark.parametrize("state", ["RCPT", "DATA", "END-OF-MESSAGE"])
@pytest.mark.parametrize("attribute", TEXTS)
def test_every_byte_in_a_value_gets_a_reply(daemon: Daemon, attribute: str, state: str) -> None:
    with daemon.client() as client:
        for number, byte in enumerate(EVERY_BYTE):
            request = holding(attribute, b"x" + byte + b"y", number)
            client.send(
                request.replace(b"protocol_state=DATA", b"protocol_state=" + state.encode())
            )
            assert client.answer() == "DUNNO", byte
    assert "Traceback" not in daemon.log
    assert "ERROR" not in daemon.log


@pytest.mark.parametrize("attribute", NUMBERS)
def test_a_non_numeric_value_closes_only_its_own_connection(daemon: Daemon, attribute: str) -> None:
    with daemon.client() as other:
        for number, byte in enumerate(EVERY_BYTE):
            with daemon.client() as client:
                client.send(holding(attribute, b"1" + byte, number))
                assert client.answer() == ("DUNNO" if byte.isdigit() else ""), byte
        assert other.ask(instance=f"after-{attribute}") == "DUNNO"
    assert "Traceback" not in daemon.log


def test_a_nul_closes_only_its_own_connection(daemon: Daemon) -> None:
    with daemon.client() as client, daemon.client() as other:
        client.send(holding("sender", b"x\0y", 0))
        assert client.answer() == ""
        assert other.ask(instance="after-nul") == "DUNNO"
