"""A real spamd checks SPF: it gets the sender and the HELO in a form that it reads."""

import shutil
from collections.abc import Iterator

import pytest

from tests.milters.client import connected
from tests.milters.conftest import Milter, Start
from tests.stack import dns, programs
from tests.stack.folder import create
from tests.stack.ports import HOST, free_port
from tests.stack.probes import listens
from tests.stack.process import Process
from tests.stack.spamd import USER

pytestmark = pytest.mark.integration
STAFF = "<staff@mail.example.edu>"
# The bank's servers are 192.0.2.1, says DNS.
RECORDS = {
    "bank.example": "v=spf1 ip4:192.0.2.1 -all",
    "mx.bank.example": "v=spf1 ip4:192.0.2.1 -all",
}
RULES = """\
use_bayes 0
skip_rbl_checks 1
dns_available yes
dns_server {host}:{port}
trusted_networks 127.0.0.1
header SENDER_BANK EnvelopeFrom =~ /\\@bank\\.example$/
score SENDER_BANK 0.1
header HELO_BANK X-Spam-Relays-Untrusted =~ /^\\[ ip=[\\d.]+ rdns=\\S* helo=mx\\.bank\\.example /
score HELO_BANK 0.1
"""


@pytest.fixture(scope="module")
def spamd() -> Iterator[str]:
    """Return the address of a spamd that may ask our DNS."""
    folder = create("gatepost-spf-")
    port = free_port()
    with dns.serving(RECORDS) as names:
        loads = "".join(
            f"loadplugin Mail::SpamAssassin::Plugin::{name}\n"
            for name in ("Check", "HeaderEval", "SPF")
        )
        (folder / "init.pre").write_text(loads)
        (folder / "local.cf").write_text(RULES.format(host=HOST, port=names))
        process = Process(
            name="spamd",
            command=[
                programs.path("spamd"), "--nouser-config", "--syslog=stderr",
                f"--siteconfigpath={folder}", f"--listen={HOST}", f"--port={port}",
                "--min-children=1", "--max-children=2",
            ],
            log=folder / "log",
            ready=lambda: listens(port),
            user=USER,
            group=USER,
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        )  # fmt: skip
        shutil.chown(folder, user=USER)
        try:
            process.start()
            yield f"{HOST}:{port}"
        finally:
            process.stop()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def running(milter: Start, spamd: str) -> Milter:
    return milter(spam={"spamd": spamd})


def rules_met(
    running: Milter,
    *,
    address: str = "192.0.2.1",
    helo: str = "mx.bank.example",
    sender: str = "<a@bank.example>",
    forged: dict[bytes, bytes] | None = None,
) -> set[str]:
    """Return the names of SpamAssassin's rules that a mail met."""
    with connected(running.address) as client:
        client.connect(address)
        client.hello(helo)
        client.mail(sender)
        client.rcpt(STAFF)
        for name, value in {**(forged or {}), b"From": b"a@bank.example", b"Subject": b"x"}.items():
            client.header(name, value)
        client.body(b"hello\r\n")
        reply = client.end()
    [status] = [data for word, data in reply.changes if b"X-Spam-Status" in data]
    return set(status.decode().partition("tests=")[2].rstrip("\0").replace("\n\t", " ").split(", "))


def test_mail_from_where_its_domain_says_passes_spf(running: Milter) -> None:
    hit = rules_met(running)
    assert {"SPF_PASS", "SPF_HELO_PASS", "SENDER_BANK", "HELO_BANK"} <= hit


def test_mail_from_elsewhere_fails_spf(running: Milter) -> None:
    hit = rules_met(running, address="198.51.100.7")
    assert {"SPF_FAIL", "SENDER_BANK"} <= hit
    assert "SPF_PASS" not in hit


@pytest.mark.parametrize("sender", ["<a@elsewhere.example>", "<>", '<"a b"@elsewhere.example>'])
@pytest.mark.parametrize("name", [b"X-Envelope-From", b"Return-Path", b"Received"])
def test_a_stranger_cannot_write_another_sender(running: Milter, sender: str, name: bytes) -> None:
    value = b"<x@bank.example>"
    if name == b"Received":
        value = b"from mx.bank.example (x [192.0.2.1]) by y (envelope-from <x@bank.example>); now"
    hit = rules_met(running, address="198.51.100.7", sender=sender, forged={name: value})
    assert not {"SENDER_BANK", "SPF_PASS"} & hit


def test_a_sender_that_fits_no_comment_is_known_to_spf(running: Milter) -> None:
    hit = rules_met(running, sender='<"a b"@bank.example>')
    assert {"SPF_PASS", "SENDER_BANK"} <= hit
