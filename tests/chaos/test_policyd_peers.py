"""Checks 4, 5, 6, 9 and 10: peers that talk nonsense, slowly, too much, or at a bad moment."""

import contextlib
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from policyd.protocol import MAX_REQUEST, Decoder, ProtocolError
from policyd.request import Request, parse
from store.audit import AuditContext
from store.engine import Store
from store.memory.refresher import REFRESH_SECONDS
from store.people import accounts, suspension
from tests.conftest import CHANGE, settings_for
from tests.policyd import dropping_proxy
from tests.policyd.conftest import wire
from tests.policyd.daemon import Client, Daemon, configure, prepared, running

MIB = 1 << 20


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    url = prepared(f"sqlite:///{tmp_path}/gatepost.db")
    with running(configure(tmp_path, url, '[limits]\nclient = ["900000000/1h"]\n')) as started:
        yield started


def memory(daemon: Daemon) -> int:
    """Return the resident set in bytes."""
    pages = int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))  # noqa: PTH208 - numbers, not paths


@contextlib.contextmanager
def held_port() -> Iterator[socket.socket]:
    """Listen on a port of 127.0.0.1, for policyd to take over."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as held:
        yield held


def fuzz(inputs: int) -> None:
    """Parse *inputs* mutated requests; each whole and in pieces must mean the same."""
    chance = random.Random(4)  # noqa: S311 - reproducible noise
    seed = wire(sender="prvs=1=a@b.example", sasl_username="é")
    junk = (b"\0", b"\n", b"\n\n", b"=", b"\xff\xfe", b"size=-1", b"\r\n", b"request=", b"9" * 40)
    for _ in range(inputs // 50):
        data = bytearray(seed * 50)
        for _ in range(100):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(40)] = chance.choice(junk)
        cut = chance.randrange(len(data) + 1)
        assert _meant(bytes(data), cut) == _meant(bytes(data), 0)


def _meant(data: bytes, cut: int) -> list[Request | str]:
    decoder = Decoder()
    found: list[Request | str] = []
    for raw in [*decoder.feed(data[:cut]), *decoder.feed(data[cut:])]:
        try:
            found.append(parse(raw))
        except ProtocolError as error:
            found.append(str(error))
    return found


def test_two_hundred_thousand_mutations_are_requests_or_protocol_errors() -> None:
    fuzz(200_000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_million_mutations_are_requests_or_protocol_errors() -> None:
    fuzz(10_000_000)


@pytest.mark.integration
def test_a_request_may_be_cut_at_every_byte(daemon: Daemon) -> None:
    with daemon.client() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        for cut in range(1, len(wire())):
            question = wire(instance=cut)
            client.send(question[:cut])
            client.send(question[cut:])
        assert {client.answer() for _ in range(1, len(wire()))} == {"DUNNO"}


@pytest.mark.integration
@pytest.mark.parametrize("noise", [b"x", b"a=b\n", b"\0", b"\xff\n"])
def test_endless_noise_takes_no_memory_and_disturbs_nobody(daemon: Daemon, noise: bytes) -> None:
    with daemon.client() as good:
        assert good.ask(instance="warm") == "DUNNO"
        before = memory(daemon)
        chunk = noise * (MIB // len(noise))
        with daemon.client() as bad, contextlib.suppress(OSError):
            for _ in range(64):
                bad.send(chunk)
        assert memory(daemon) - before < 2 * MIB
        assert good.ask(instance="after") == "DUNNO"
    assert f"longer than {MAX_REQUEST}" in daemon.log


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_gigabyte_without_an_empty_line_takes_a_megabyte_at_most(daemon: Daemon) -> None:
    sent, chunk = 0, b"sender=x\n" * 8192
    with daemon.client() as good:
        assert good.ask(instance="warm") == "DUNNO"
        before = memory(daemon)
        while sent < 1 << 30:
            with daemon.client() as bad, contextlib.suppress(OSError):
                while sent < 1 << 30:
                    bad.send(chunk)
                    sent += len(chunk)
        assert memory(daemon) - before <= MIB
        assert good.ask(instance="after") == "DUNNO"
    assert daemon.log.count("longer than") > 1000


@pytest.mark.integration
def test_who_never_reads_answers_is_not_read_from_for_ever(daemon: Daemon) -> None:
    before = memory(daemon)
    with daemon.client() as deaf, daemon.client() as good:
        deaf.socket.settimeout(2)
        with contextlib.suppress(OSError):
            for _ in range(200):
                deaf.send(wire(protocol_state="RCPT") * 1000)
        assert good.ask(instance="after") == "DUNNO"
    assert memory(daemon) - before < 16 * MIB


def slow_and_idle(tmp_path: Path, *, files: int, kept: int, seconds: float) -> None:
    """Check 6: 500 slow clients come while 300 idle ones are connected, with so many *files*."""
    url = prepared(f"sqlite:///{tmp_path}/gatepost.db")
    with (
        running(configure(tmp_path, url), wrapper=("prlimit", f"--nofile={files}")) as daemon,
        contextlib.ExitStack() as stack,
    ):
        idle = [stack.enter_context(daemon.client()) for _ in range(300)]
        for client in idle:
            with contextlib.suppress(OSError):  # no room for all
                client.send(wire(protocol_state="RCPT"))
        start = time.monotonic()
        slow = [stack.enter_context(daemon.client()) for _ in range(500)]
        for client in slow:
            with contextlib.suppress(OSError):
                client.send(b"r")
        # Some find no room and are closed at once, the others by the deadline.
        assert all(client.answer() == "" for client in slow)
        assert time.monotonic() - start < 20
        time.sleep(max(0.0, start + seconds - time.monotonic()))
        assert sum(still_answers(client) for client in idle) >= kept
        assert descriptors(daemon) < files
        assert daemon.process.poll() is None
        assert daemon.ask(protocol_state="RCPT") == "DUNNO"


def still_answers(client: Client) -> bool:
    try:
        client.answer()  # to what it asked at first
        return client.ask(protocol_state="RCPT") == "DUNNO"
    except OSError:
        return False


# 300 idle connections, the 56 files that are no connections, and some room for others.
ENOUGH_FILES = 400


@pytest.mark.integration
def test_slow_clients_are_cut_and_idle_ones_kept(tmp_path: Path) -> None:
    slow_and_idle(tmp_path, files=ENOUGH_FILES, kept=300, seconds=8)


@pytest.mark.slow
def test_with_too_few_files_most_idle_clients_are_kept_and_new_ones_served(tmp_path: Path) -> None:
    slow_and_idle(tmp_path, files=256, kept=190, seconds=8)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_idle_connections_outlive_those_of_postfix(tmp_path: Path) -> None:
    # smtpd_policy_service_max_idle is 300 s
    slow_and_idle(tmp_path, files=ENOUGH_FILES, kept=300, seconds=310)


HOSTILE = "one\r\n250 two\n\naction=OK \0 three"


def written(folder: Path, url: str) -> Path:
    """Write a configuration; a text of two lines in it is refused when the file is read."""
    config = configure(folder, url, '[limits]\nclient = ["1/1h"]\n')
    config.write_text(config.read_text().replace("[site]", '[site]\nhelp_url = "http://x/?550"'))
    return config


def populated(url: str) -> None:
    """Add bob, a student, and carol, who is suspended for a hostile reason."""
    store, settings = Store(url), settings_for(url)
    for name in ("bob", "carol"):
        accounts.add(store, settings, accounts.NewAccount(name, "student"), change=CHANGE)
    why = AuditContext("tester", HOSTILE)
    suspension.suspend(store, settings, "carol", scope="sending", seconds=None, change=why)
    store.close()


@pytest.mark.integration
def test_no_text_of_the_site_or_a_stranger_makes_a_second_smtp_line(tmp_path: Path) -> None:
    url = prepared(f"sqlite:///{tmp_path}/gatepost.db")
    populated(url)
    with (
        held_port() as held,
        running(written(tmp_path, url), held=held) as daemon,
        dropping_proxy.running(
            f"inet:127.0.0.1:{held.getsockname()[1]}", "message_size_limit = 0"
        ) as mta,
    ):
        said = [
            answer(mta, "ADDR=192.0.2.8", recipient="bob@mail.example.edu", size=99_000_000),
            answer(mta, "ADDR=192.0.2.8 LOGIN=carol"),
            answer(mta, "ADDR=192.0.2.8"),
            answer(mta, "ADDR=192.0.2.8"),
        ]
        assert daemon.stop() == 0
    assert [(code, text[:6]) for code, text in said] == [
        (552, b"5.3.4 "),
        (550, b"5.7.1 "),
        (354, b"End da"),
        (450, b"4.7.1 "),
    ]
    assert b"http://x/?550" in said[3][1]
    assert b"one??250 two??action=OK ? three" in said[1][1]  # shown, harmless, in the one line
    assert not any(b"\n" in text for _, text in said)


def answer(
    mta: dropping_proxy.Relay, who: str, *, recipient: str = "b@elsewhere.example", size: int = 0
) -> tuple[int, bytes]:
    """Send one mail as *who*; return the first reply that is not a 250."""
    with mta.session() as session:
        assert session.docmd(f"XCLIENT {who}")[0] == 220
        session.ehlo()
        for words in (f"MAIL FROM:<a@b.example> SIZE={size}", f"RCPT TO:<{recipient}>", "DATA"):
            code, text = session.docmd(words)
            if code == 354:
                session.send(b".\r\n")
                session.getreply()
            if code != 250:
                assert session.noop()[0] == 250  # the dialogue is where it should be
                return code, text
    raise AssertionError("no reply to DATA")


class Asking(threading.Thread):
    """Asks without a pause until it is hung up on."""

    def __init__(self, daemon: Daemon, number: int) -> None:
        super().__init__(daemon=True)
        self._client: Client = daemon.client()
        self._number = number
        self.answered = 0
        self.unanswered_at = 0.0

    def run(self) -> None:
        with self._client as client:
            while True:
                asked = time.monotonic()
                try:
                    answer = client.ask(instance=f"{self._number}.{self.answered}")
                except OSError:
                    answer = ""
                if not answer:
                    self.unanswered_at = asked
                    return
                assert answer == "DUNNO"
                self.answered += 1


@pytest.mark.integration
def test_sigterm_under_load_answers_all_that_was_asked_before(daemon: Daemon) -> None:
    load = [Asking(daemon, number) for number in range(20)]
    for each in load:
        each.start()
    time.sleep(1)
    told = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - told < 5
    for each in load:
        each.join(timeout=10)
    assert all(each.answered for each in load)
    assert all(each.unanswered_at > told for each in load)
    assert "Traceback" not in daemon.log


@pytest.mark.integration
def test_sighup_with_a_broken_file_under_load_changes_nothing_and_says_one_line(
    daemon: Daemon,
) -> None:
    load = [Asking(daemon, number) for number in range(5)]
    for each in load:
        each.start()
    daemon.config.write_text("[limits\n")
    daemon.signal(signal.SIGHUP)
    daemon.wait_for_log("event=reload-failed")
    before = [each.answered for each in load]
    time.sleep(0.5)
    assert all(each.answered > count for each, count in zip(load, before, strict=True))
    assert daemon.log.count("ERROR") == 1
    assert daemon.stop() == 0


def soak(daemon: Daemon, decisions: int) -> None:
    """Ask *decisions* times on 20 connections; memory and descriptors must stay flat."""
    each = decisions // 20
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(daemon.client()) for _ in range(20)]

        def ask(client: Client, first: int, count: int) -> None:
            for start in range(first, first + count, 100):
                addresses = [f"192.0.2.{n % 250}" for n in range(start, start + 100)]
                client.send(
                    b"".join(
                        wire(instance=f"{id(client)}.{start}.{n}", client_address=address)
                        for n, address in enumerate(addresses)
                    )
                )
                assert all(client.answer() == "DUNNO" for _ in addresses)

        def round_of(first: int, count: int) -> None:
            threads = [
                threading.Thread(target=ask, args=(client, first, count)) for client in clients
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        round_of(0, each // 2 // 100 * 100)
        time.sleep(2 * REFRESH_SECONDS)  # the refresher opens its own connection when it is due
        held, opened = memory(daemon), descriptors(daemon)
        round_of(each, each // 2 // 100 * 100)
        # What was told to messages is remembered for five minutes, up to a bound.
        assert memory(daemon) - held < decisions / 2 * 250 + 8 * MIB
        assert descriptors(daemon) <= opened


@pytest.mark.integration
def test_forty_thousand_decisions_leave_nothing_but_the_memory_of_their_answers(
    daemon: Daemon,
) -> None:
    soak(daemon, 40_000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_million_decisions_leave_memory_and_descriptors_flat(daemon: Daemon) -> None:
    # Fills what is remembered of messages (usage_sqlite.MAX_HEARD), and lets its
    # dictionary grow once more to hold as many while old ones go.
    soak(daemon, 1_000_000)
    time.sleep(2)  # until the clients' connections are closed
    held, opened = memory(daemon), descriptors(daemon)
    soak(daemon, 1_000_000)
    time.sleep(2)
    assert memory(daemon) - held < 16 * MIB
    assert descriptors(daemon) <= opened
