"""A file is measured as people get it, however it is wrapped: through real Postfix and Dovecot.

The wrappings are the messages of tests/corpus that mail programs read in another way
than a strict parser does (F01 to F07), with a large file in the place of their small one.
"""

import base64
import re
from functools import cache
from pathlib import Path

import pytest

from tests.integration.conftest import People
from tests.stack.clients import Answer, wait_until
from tests.stack.messages import MIB
from tests.stack.stack import Account, Stack

CORPUS = Path(__file__).parent.parent / "corpus"
WRAPPINGS = sorted(CORPUS.glob("F0[1-7]*.eml"))
ONE_OF_EACH = sorted({path.stem[:3]: path for path in reversed(WRAPPINGS)}.values())
SIZED = pytest.mark.parametrize(
    "declare_size", [True, False], ids=["with its size declared", "without a declared size"]
)
# What the small messages hold: a line of base64, or lines that stand as they are.
_SMALL = re.compile(
    rb"UEsDB\S+\r\n|1;2;3\r\n4;5;6\r\n|123456789012\r\n|\(12 MiB of any 7-bit text[^\r]*\r\n"
)


@cache
def encoded(size: int) -> bytes:
    return base64.encodebytes(bytes(size)).replace(b"\n", b"\r\n")


def wrapped(path: Path, size: int, subject: str) -> bytes:
    """Return the message at *path* with a file of *size* bytes in it."""
    small = path.read_bytes()
    is_base64 = b"base64" in small
    large = encoded(size) if is_base64 else (b"1;2;3;4;5;6;7\r\n" * (size // 15 + 1))
    body, count = _SMALL.subn(lambda _: large, small)
    assert count == 1
    return b"Subject: " + subject.encode() + b"\r\n" + body


def answer_to(stack: Stack, message: bytes, to: Account, *, declare_size: bool) -> Answer:
    return stack.clients.deliver(message, to=[to.address], declare_size=declare_size)


def emptied(stack: Stack, account: Account) -> None:
    """Return when the mail that was accepted has come, and is deleted again."""
    with stack.clients.imap(account.login) as mailbox:
        wait_until(lambda: mailbox.delete_all() > 0, "the mail in the mailbox")


@pytest.fixture(scope="module")
def modest(stack: Stack) -> Account:
    """Return somebody who may have 2 MiB."""
    account = stack.add_account("student")
    words = ("account", "set", account.name, "--attachments", "2M", "--until", "7d")
    stack.gatepost(*words, "--reason", "a test").check_returncode()
    stack.settle()
    return account


@pytest.mark.parametrize("path", WRAPPINGS, ids=lambda path: path.stem)
def test_a_file_over_the_limit_is_refused_in_every_wrapping(
    stack: Stack, modest: Account, subject: str, path: Path
) -> None:
    message = wrapped(path, 5 * MIB // 2, subject)
    refused = answer_to(stack, message, modest, declare_size=False)
    assert (refused.stage, refused.code) == ("END", 552)
    assert "2 MiB" in refused.text


@SIZED
@pytest.mark.parametrize("path", ONE_OF_EACH, ids=lambda path: path.stem)
def test_whoever_may_have_a_file_gets_it_in_every_wrapping(
    stack: Stack, people: People, modest: Account, subject: str, path: Path, *, declare_size: bool
) -> None:
    # Not so large that its declared size alone would refuse it: the milter has to measure.
    message = wrapped(path, 5 * MIB // 2, subject)
    refused = answer_to(stack, message, modest, declare_size=declare_size)
    assert (refused.stage, refused.code) == ("END", 552)
    assert answer_to(stack, message, people.staff, declare_size=declare_size).accepted
    message = wrapped(path, 19 * MIB // 10, subject)
    assert answer_to(stack, message, modest, declare_size=declare_size).accepted


@pytest.mark.slow
@pytest.mark.timeout(300)
@SIZED
@pytest.mark.parametrize("path", ONE_OF_EACH, ids=lambda path: path.stem)
def test_60_mb_reach_staff_and_no_student_in_any_wrapping(
    stack: Stack, people: People, subject: str, path: Path, *, declare_size: bool
) -> None:
    message = wrapped(path, 60_000_000, subject)
    refused = answer_to(stack, message, people.student, declare_size=declare_size)
    assert refused.code == 552
    assert "50 MiB" in refused.text
    assert answer_to(stack, message, people.staff, declare_size=declare_size).accepted
    emptied(stack, people.staff)


@SIZED
def test_a_letter_of_60_mb_reaches_staff_and_no_student(
    stack: Stack, people: People, subject: str, *, declare_size: bool
) -> None:
    letter = f"Subject: {subject}\r\n\r\n".encode() + b"So say we all, once more.\r\n" * 2_300_000
    refused = answer_to(stack, letter, people.student, declare_size=declare_size)
    assert (refused.stage, refused.code) == ("END", 552)
    assert answer_to(stack, letter, people.staff, declare_size=declare_size).accepted
    emptied(stack, people.staff)
