"""gatepost beside a signer (Debian's OpenDKIM), in the two orders that the docs name."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.stack import messages, opendkim, programs
from tests.stack.clients import wait_until
from tests.stack.opendkim import OpenDKIM
from tests.stack.ports import HOST
from tests.stack.stack import Account, Stack

pytestmark = pytest.mark.integration
TAG = "***SPAM*** "


@pytest.fixture(scope="module")
def signer() -> Iterator[OpenDKIM]:
    with opendkim.running() as server:
        yield server


@pytest.fixture(scope="module")
def stack(signer: OpenDKIM) -> Iterator[Stack]:
    """The default order: the signer, then gatepost."""
    with Stack(postfix={"smtpd_milters": f"{signer.milter}, $gatepost_milter"}) as running:
        yield running


@pytest.fixture(scope="module")
def student(stack: Stack) -> Account:
    return stack.add_account("student")


@pytest.fixture
def tag_first(stack: Stack, signer: OpenDKIM) -> Iterator[None]:
    """The other order for submission alone, as one option of its service."""
    option = f"{HOST}:{stack.layout.ports.submission}/inet/smtpd_milters"
    _postconf(stack, "-P", f"{option}=$gatepost_milter,{signer.milter}")
    stack.postfix.reload()
    yield
    _postconf(stack, "-PX", option)
    stack.postfix.reload()


def _postconf(stack: Stack, *words: str) -> None:
    command = [programs.path("postconf"), "-c", f"{stack.layout.root}/postfix/conf", *words]
    subprocess.run(command, check=True, capture_output=True)


def ours(message: bytes) -> bytes:
    """Return *message* from a local user, whose domain the signer signs for."""
    return message.replace(b"sender@elsewhere.example", b"sender@mail.example.edu")


def arrived(stack: Stack, student: Account, subject: str) -> bytes:
    """Return the bytes of the mail with *subject* in the student's mailbox."""
    folder = stack.layout.mail / student.name

    def found() -> list[bytes]:
        files = [each.read_bytes() for each in folder.rglob("new/*")]
        return [raw for raw in files if subject.encode() in raw]

    wait_until(lambda: len(found()) == 1, f"{subject} in the mailbox")
    return found()[0]


def field(message: bytes, name: str) -> str:
    """Return the only field of that *name*."""
    head = message.partition(b"\n\n")[0].replace(b"\n\t", b" ").replace(b"\n ", b" ").decode()
    [value] = [line.partition(": ")[2] for line in head.splitlines() if line.startswith(f"{name}:")]
    return value


def test_incoming_mail_is_verified_as_it_came_and_then_tagged(
    stack: Stack, student: Account, signer: OpenDKIM
) -> None:
    message = signer.signed(messages.spam("incoming-signed."))
    assert stack.clients.deliver(message, to=[student.address]).accepted
    raw = arrived(stack, student, "incoming-signed.")
    assert "dkim=pass" in field(raw, "Authentication-Results")
    assert field(raw, "Subject") == f"{TAG}incoming-signed."
    assert field(raw, "X-Spam-Flag") == "YES"


def test_outgoing_spam_is_signed_and_not_tagged_and_verifies(
    stack: Stack, student: Account, signer: OpenDKIM
) -> None:
    message = ours(messages.spam("outgoing-signed."))
    assert stack.clients.submit(student.login, message, to=[student.address]).accepted
    raw = arrived(stack, student, "outgoing-signed.")
    assert field(raw, "Subject") == "outgoing-signed."
    assert field(raw, "X-Spam-Flag") == "YES"
    assert "d=mail.example.edu" in field(raw, "DKIM-Signature")
    assert signer.verified(raw).endswith("succeeded\n")


@pytest.mark.parametrize("name", ["DKIM-Signature", "ARC-Seal"])
def test_a_forged_signature_saves_no_stranger_from_the_tag(
    stack: Stack, student: Account, name: str
) -> None:
    subject = f"forged-{name.lower()}."
    forged = f"{name}: v=1; a=rsa-sha256; d=mail.example.edu; s=test; bh=Zm9v; b=Zm9v\r\n"
    message = forged.encode() + ours(messages.spam(subject))
    assert stack.clients.deliver(message, to=[student.address]).accepted
    raw = arrived(stack, student, subject)
    assert field(raw, "Subject") == f"{TAG}{subject}"


@pytest.mark.usefixtures("tag_first")
def test_outgoing_spam_tagged_before_signing_still_verifies(
    stack: Stack, student: Account, signer: OpenDKIM
) -> None:
    message = ours(messages.spam("outgoing-tagged."))
    assert stack.clients.submit(student.login, message, to=[student.address]).accepted
    raw = arrived(stack, student, "outgoing-tagged.")
    assert field(raw, "Subject") == f"{TAG}outgoing-tagged."
    assert signer.verified(raw).endswith("succeeded\n")
