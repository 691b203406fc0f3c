"""Any byte in a name, a password or another field is refused, and never an error."""

from urllib.parse import quote_from_bytes

import pytest

from dovecot_auth.checkpassword import protocol
from tests.dovecot_auth.site import Site
from tests.stack import unix_http

pytestmark = pytest.mark.integration
# Few requests, each with many bytes: checking a password takes time.
ALL_BYTES = [bytes(range(start, start + 64)) for start in (0, 64, 128, 192)]
FIELDS = ("user", "password", "service", "remote")


def ask(site: Site, path: str, **values: bytes) -> int:
    """Ask authd as passdb.lua does, with any bytes; return the status."""
    connection = unix_http.Connection(site.socket)
    body = "&".join(f"{name}={quote_from_bytes(value)}" for name, value in values.items())
    connection.request("POST", path, body)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("path", ["/verify", "/user"])
def test_no_byte_in_a_request_causes_an_error(site: Site, path: str, field: str) -> None:
    usual = {"user": b"nobody", "password": b"wrong", "service": b"imap", "remote": b"192.0.2.9"}
    for part in ALL_BYTES:
        status = ask(site, path, **{**usual, field: b"x" + part + b"y"})
        assert status in ((400, 401, 429) if path == "/verify" else (400, 404))
    assert ask(site, "/user", user=b"alice") == 200


@pytest.mark.parametrize("answering", ["authd", "direct"])
@pytest.mark.parametrize("field", [0, 1])
def test_no_byte_on_descriptor_3_causes_an_error(site: Site, answering: str, field: int) -> None:
    options = {"--socket": "/nonexistent"} if answering == "direct" else {}
    for part in ALL_BYTES:
        pair = [b"nobody", b"wrong"]
        pair[field] = b"x" + part.replace(b"\0", b"") + b"y"
        given = b"\0".join((*pair, b"", b""))
        assert len(given) <= protocol.MAX_BYTES
        assert site.script(given, options=options).returncode == 1
