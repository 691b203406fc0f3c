"""The milter killed under a real Postfix, and mail as big as a role may get.

Checks 11, 13 and 14; delivery is by LMTP into a real mailbox.
"""

import os
import smtplib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.milters import fake_spamd
from tests.milters.conftest import FAULT
from tests.stack import messages
from tests.stack.clients import wait_until
from tests.stack.ports import HOST
from tests.stack.stack import Account, Stack

pytestmark = pytest.mark.integration
MIB = 1 << 20
BIG = 500 * MIB
SENDER = "somebody@elsewhere.example"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(settings={"roles": {"student": {"attachments": "50M"}}}) as running:
        yield running


@pytest.fixture(scope="module")
def staff(stack: Stack) -> Account:
    return stack.add_account("staff")


@pytest.fixture(scope="module")
def student(stack: Stack) -> Account:
    return stack.add_account("student")


@pytest.fixture
def milter_again(stack: Stack) -> Iterator[Callable[[], None]]:
    """Return a function that kills the milter; it runs again afterwards."""
    process = stack.services.processes["milter"]
    yield process.kill
    if not process.alive:
        process.start()


def open_session(stack: Stack) -> smtplib.SMTP:
    session = smtplib.SMTP(HOST, stack.layout.ports.smtp, "client.test", timeout=60)
    session.ehlo()
    return session


# Where the milter dies; what the client does next must not be taken.
STEPS: dict[str, Callable[[smtplib.SMTP, Account], object]] = {
    "connect": lambda session, _: session.noop(),
    "mail": lambda session, _: session.mail(SENDER),
    "rcpt": lambda session, person: (session.mail(SENDER), session.rcpt(person.address)),
    "data": lambda session, person: (
        session.mail(SENDER),
        session.rcpt(person.address),
        session.docmd("DATA"),
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_milter_killed_between_steps_defers_the_mail(
    stack: Stack, staff: Account, milter_again: Callable[[], None], step: str
) -> None:
    with open_session(stack) as session:
        STEPS[step](session, staff)
        milter_again()
        codes = []
        if step == "connect":
            codes.append(session.mail(SENDER)[0])
        if step in ("connect", "mail"):
            codes.append(session.rcpt(staff.address)[0])
        if step == "data":
            session.send(messages.plain("killed") + b"\r\n.\r\n")
            codes.append(session.getreply()[0])
        elif not any(code >= 400 for code in codes):
            try:
                codes.append(session.data(messages.plain("killed"))[0])
            except smtplib.SMTPResponseException as error:
                codes.append(error.smtp_code)
    assert codes[-1] in (421, 451)
    assert not any(code >= 500 for code in codes if code != 503)


def test_a_milter_killed_during_header_and_body_never_lets_spam_pass_unmarked(
    stack: Stack, student: Account, milter_again: Callable[[], None]
) -> None:
    # Postfix hands header and body over after the final dot; 40 MB take it a while.
    body = messages.GTUBE + "\n" + ("x" * 70 + "\n") * 500_000
    process = stack.services.processes["milter"]
    for number, delay in enumerate((0.0, 0.02, 0.05, 0.1, 0.2, 0.4)):
        if not process.alive:
            process.start()
        subject = f"killed-{number}."
        with open_session(stack) as session:
            session.mail(SENDER)
            session.rcpt(student.address)
            session.docmd("DATA")
            session.send(messages.plain(subject, body=body).rstrip(b"\r\n") + b"\r\n.")
            killer = threading.Timer(delay, milter_again)
            killer.start()
            session.send(b"\r\n")
            code, _ = session.getreply()
            killer.join()
        assert code in (250, 421, 451)
        if code == 250:
            with stack.clients.imap(student.login) as mailbox:
                assert mailbox.wait_for(subject)["Subject"] == f"***SPAM*** {subject}"
    with stack.clients.imap(student.login) as mailbox:
        assert all(each.startswith("***SPAM***") for each in mailbox.subjects())


def test_a_milter_killed_during_a_scan_defers_the_mail(
    stack: Stack, staff: Account, milter_again: Callable[[], None]
) -> None:
    with fake_spamd.server(fake_spamd.silent) as spamd:
        stack.reconfigure({"spam": {"spamd": f"{spamd.host}:{spamd.port}"}})
        try:
            stack.services.processes["milter"].kill()
            stack.services.processes["milter"].start()
            killer = threading.Timer(1.5, milter_again)
            killer.start()
            answer = stack.clients.deliver(messages.plain("thinking"), to=[staff.address])
            killer.join()
        finally:
            stack.reconfigure({"spam": {"spamd": f"{HOST}:{stack.layout.ports.spamd}"}})
    assert answer.code in (421, 451)


def test_mail_is_delivered_unmarked_when_spamd_is_silent(stack: Stack, staff: Account) -> None:
    with fake_spamd.server(fake_spamd.silent) as spamd:
        stack.reconfigure({"spam": {"spamd": f"{spamd.host}:{spamd.port}"}})
        time.sleep(1)
        try:
            start = time.monotonic()
            answer = stack.clients.deliver(messages.spam("silence."), to=[staff.address])
            seconds = time.monotonic() - start
        finally:
            stack.reconfigure({"spam": {"spamd": f"{HOST}:{stack.layout.ports.spamd}"}})
    assert answer.accepted
    assert 15 < seconds < 25
    with stack.clients.imap(staff.login) as mailbox:
        found = mailbox.wait_for("silence.")
    assert found["Subject"] == "silence."
    assert found["X-Spam-Status"] == "Unknown, spamd timeout"


@pytest.mark.parametrize(
    ("how", "place"),
    [
        ("kill", "Message.header"),
        ("kill", "Message.body"),
        ("kill after", "Connection._apply"),  # one edit is made, others are not
    ],
)
def test_a_milter_that_dies_in_a_callback_defers_the_mail(
    stack: Stack, staff: Account, how: str, place: str
) -> None:
    process = stack.services.processes["milter"]
    healthy = process.command
    subject = f"died-{place.lower()}."
    process.kill()
    process.command = [*healthy[:2], "-c", FAULT, how, place, *healthy[4:]]
    try:
        process.start()
        answer = stack.clients.deliver(messages.spam(subject), to=[staff.address])
        wait_until(lambda: not process.alive, "it is dead")
    finally:
        process.kill()
        process.command = healthy
        process.start()
    assert answer.code in (421, 451)
    again = stack.clients.deliver(messages.spam(subject), to=[staff.address])
    assert again.accepted
    with stack.clients.imap(staff.login) as mailbox:
        mailbox.wait_for(subject)
        found = [each for each in mailbox.subjects() if subject in each]
    assert found == [f"***SPAM*** {subject}"]


# All are small, or made so: of a header field Postfix keeps 100 KB (header_size_limit).
BOMBS: dict[str, tuple[str, bytes]] = {
    "100,000 parts": (
        "multipart/mixed; boundary=b",
        b"--b\r\nContent-Type: application/pdf\r\n\r\nx\r\n" * 100_000,
    ),
    "10,000 levels": (
        "multipart/mixed; boundary=b0",
        b"".join(
            b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (n, n + 1)
            for n in range(10_000)
        ),
    ),
    "a header of 50 MB": ("text/plain" + ("\r\n y" + "y" * 900) * 55_000, b"x"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_through_postfix_costs_no_more_than_ordinary_mail(
    stack: Stack, staff: Account, bomb: str
) -> None:
    kind, body = BOMBS[bomb]
    pid = stack.services.processes["milter"].pid
    before = _cpu(pid)
    head = f"From: a@elsewhere.example\r\nSubject: bomb\r\nContent-Type: {kind}\r\n\r\n"
    assert _deliver(stack, head.encode() + body + b"\r\n", staff)[0] == 250
    assert _cpu(pid) - before <= 2
    assert _status(pid, "VmHWM") <= 200 * 1024
    assert stack.clients.deliver(messages.plain("next."), to=[staff.address]).accepted


def _cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used (proc(5), utime and stime)."""
    times = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def test_a_percent_sign_in_the_advice_reaches_the_client(stack: Stack, student: Account) -> None:
    stack.reconfigure({"attachments": {"advice": "It is 100% too big; see https://x/%41."}})
    message = messages.attached("percent", 50 * MIB + 1)
    wait_until(
        lambda: stack.clients.deliver(message, to=[student.address]).text.endswith(
            "It is 100% too big; see https://x/%41."
        ),
        "the new advice",
    )


def _status(pid: int, field: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text("ascii")
    [line] = [each for each in text.splitlines() if each.startswith(f"{field}:")]
    return int(line.split()[1])


def _attached(subject: str) -> bytes:
    """Return a mail with 500 MiB attached; the email package would take minutes for it."""
    line = b"A" * 76 + b"\r\n"
    full, rest = divmod(BIG * 4 // 3, 76)
    head = (
        b"From: a@elsewhere.example\r\nSubject: " + subject.encode() + b"\r\n"
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=_x"\r\n\r\n--=_x\r\n'
        b"Content-Type: application/octet-stream; name=lecture.bin\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return head + line * full + b"A" * rest + b"==\r\n--=_x--\r\n"


def _deliver(stack: Stack, message: bytes, to: Account) -> tuple[int, str]:
    """Send *message* without the copies that smtplib would make of it."""
    with open_session(stack) as session:
        channel = session.sock
        assert channel is not None
        channel.settimeout(600)
        session.mail(SENDER)
        session.rcpt(to.address)
        session.docmd("DATA")
        channel.sendall(message)
        channel.sendall(b".\r\n")
        code, text = session.getreply()
        return code, text.decode()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_500_mib_reach_staff_and_are_refused_for_a_student(
    stack: Stack, staff: Account, student: Account
) -> None:
    message = _attached("half-a-gigabyte.")
    code, text = _deliver(stack, message, student)
    assert code == 552
    assert "50 MiB" in text
    assert _deliver(stack, message, staff)[0] == 250
    maildir = stack.layout.mail / staff.name

    def arrived() -> bool:
        return any(each.stat().st_size > BIG for each in maildir.rglob("new/*"))

    wait_until(arrived, "the mail in the mailbox", seconds=300)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("role", "code"), [("student", 552), ("staff", 250)])
def test_twenty_mails_of_500_mib_at_once_take_the_milter_under_60_mib(role: str, code: int) -> None:
    """Those for staff are accepted; the first part of each waits for a spamd that is silent."""
    message = _attached("twenty")
    answers: list[int] = []
    with (
        fake_spamd.server(fake_spamd.silent) as spamd,
        Stack(
            settings={"spam": {"spamd": f"{spamd.host}:{spamd.port}"}},
            postfix={"virtual_transport": "discard:"},
        ) as stack,
    ):
        person = stack.add_account(role)
        stack.settle()
        pid = stack.services.processes["milter"].pid
        threads = [
            threading.Thread(target=lambda: answers.append(_deliver(stack, message, person)[0]))
            for _ in range(20)
        ]
        before = peak = _status(pid, "RssAnon")
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            peak = max(peak, _status(pid, "RssAnon"))
            time.sleep(0.05)
        resident = _status(pid, "VmHWM")  # the highest ever, program files included
    assert answers == [code] * 20
    print(f"own {before} KiB before, {peak} at the peak; with program files {resident}")
    assert resident < 60 * 1024
    assert peak - before < 10 * 1024
