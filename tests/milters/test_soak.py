"""Mail of every kind, through Postfix, for a long time (check 18), and over TCP without a stall."""

import itertools
import smtplib
import socket
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.milter_postfix import RECIPIENT, ways
from tests.milters import fake_spamd
from tests.stack import messages
from tests.stack.ports import HOST
from tests.stack.stack import Stack

pytestmark = pytest.mark.integration
SPAM = b"SPAMD/1.1 0 EX_OK\r\nContent-length: 3\r\nSpam: True ; 7.5 / 5.0\r\n\r\nA_B"
HAM = SPAM.replace(b"True ; 7.5", b"False ; 0.5")
KIB = 1 << 10
# What is sent in turn, and the reply it gets.
KINDS: tuple[tuple[Callable[[str], bytes], int], ...] = (
    (lambda subject: messages.plain(subject, body="see you\n" * 500), 250),
    (lambda subject: messages.attached(subject, 40 * KIB), 250),
    (lambda subject: messages.spam(subject), 250),  # noqa: PLW0108 - one kind a line
    (lambda subject: messages.attached(subject, 60 * KIB), 552),
)
ALLOCATOR_KIB = 1500  # one arena
LOAD = 0.05  # seconds: what else this machine does


def by_content(connection: socket.socket) -> None:
    found = fake_spamd.read_all(connection)
    connection.sendall(SPAM if messages.GTUBE.encode() in found else HAM)


def sizes(pid: int) -> tuple[int, int, int]:
    """Return the KiB of memory, the descriptors and the threads of a process."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    status = dict(line.split(":", 1) for line in lines)
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return int(status["RssAnon"].split()[0]), files, int(status["Threads"])


def percentile_99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[-1]


@pytest.mark.parametrize(("count", "window"), [
    pytest.param(120, 30, id="short"),
    pytest.param(200_000, 5_000, id="long", marks=[pytest.mark.slow, pytest.mark.timeout(20_000)]),
])  # fmt: skip
def test_a_soak_through_postfix_costs_no_more_at_its_end(count: int, window: int) -> None:
    seconds: list[float] = []
    seen: list[tuple[int, int, int]] = []
    with (
        fake_spamd.server(by_content) as spamd,
        Stack(
            settings={
                "roles": {"student": {"attachments": "50K"}},
                "spam": {"spamd": f"{spamd.host}:{spamd.port}"},
            },
            postfix={"virtual_transport": "discard:"},
        ) as stack,
    ):
        person = stack.add_account("student")
        stack.settle()
        pid = stack.services.processes["milter"].pid
        for number, (make, code) in zip(range(count), itertools.cycle(KINDS)):
            message = make(f"soak-{number}.")
            start = time.monotonic()
            answer = stack.clients.deliver(message, to=[person.address], declare_size=False)
            seconds.append(time.monotonic() - start)
            assert answer.code == code, answer
            if number % window == window - 1:
                seen.append(sizes(pid))
        log = stack.services.processes["milter"].log.read_text()
    assert log.count("***SPAM*** ") == count // len(KINDS)
    memory, files, threads = zip(*seen, strict=True)
    # From the first sample on: 1 MB in 10,000 messages.
    assert memory[-1] - memory[0] < max(1000 * (count - window) / 10_000, ALLOCATOR_KIB)
    assert max(files) - min(files) <= 2
    assert max(threads) - min(threads) <= 4
    assert percentile_99(seconds[-window:]) <= 2 * percentile_99(seconds[:window]) + LOAD


def test_over_tcp_no_mail_waits_for_a_delayed_acknowledgement() -> None:
    seconds = []
    mail = messages.attached("quick.", 5 * KIB)
    with (
        ways(["gatepost, TCP"]) as found,
        smtplib.SMTP(HOST, found["gatepost, TCP"].port, "client.test") as session,
    ):
        for _ in range(50):
            start = time.monotonic()
            session.sendmail("sender@elsewhere.example", [RECIPIENT], mail)
            seconds.append(time.monotonic() - start)
    assert statistics.median(seconds) < 0.020  # one stall takes 0.040
