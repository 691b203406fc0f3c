"""A real spamd, and servers with every fault one could have."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from config.units import Address
from milters.spamd import DEADLINE, MAX_REPLY, Spamd, SpamdUnavailable
from tests.milters.client import connected
from tests.milters.conftest import Milter, Start
from tests.milters.fake_spamd import (
    OK,
    answering,
    dripping,
    endless,
    read_all,
    resetting,
    server,
    silent,
)
from tests.stack import messages
from tests.stack.clients import wait_until
from tests.stack.ports import HOST, free_ports

GTUBE = messages.spam("offer")
HAM = messages.plain("lecture")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Address]]:
    """Return the process group and the address of a real spamd."""
    program = shutil.which("spamd")
    assert program, "spamd is missing: apt-get install spamd spamassassin"
    [port] = free_ports(1)
    home = tmp_path_factory.mktemp("spamd")
    server = subprocess.Popen(
        [program, "-L", "-x", "-i", HOST, "-p", str(port), "-m", "2", "--min-children=1"],
        env={**os.environ, "HOME": str(home)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait(port)
        yield server.pid, Address("inet", host=HOST, port=port)
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def real(daemon: tuple[int, Address]) -> Address:
    return daemon[1]


def _wait(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("spamd does not start")


@contextmanager
def client(address: Address, **options: float) -> Iterator[Spamd]:
    made = Spamd(address, **options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()


@pytest.mark.integration
def test_a_real_spamd_knows_spam_from_ham(real: Address) -> None:
    with client(real) as spamd:
        report = spamd.scan(lambda: GTUBE)
        assert report.is_spam
        assert report.score > 900
        assert report.threshold == 5
        assert "GTUBE" in report.tests
        assert not spamd.scan(lambda: HAM).is_spam


@pytest.mark.integration
def test_a_real_spamd_accepts_malformed_mail(real: Address) -> None:
    with client(real) as spamd:
        for raw in (b"", b"\0\xff\r\n", b"Subject: \xe9\r\n\r\n" + bytes(range(256))):
            assert spamd.scan(partial(bytes, raw)).threshold == 5


@pytest.mark.integration
@pytest.mark.timeout(120)
def test_a_real_spamd_scans_half_a_megabyte(real: Address) -> None:
    with client(real, deadline=90) as spamd:
        assert spamd.scan(lambda: GTUBE + b"word " * 100_000).is_spam


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_stopped_spamd_costs_fifty_mails_one_deadline_and_nothing_else(
    daemon: tuple[int, Address], milter: Start
) -> None:
    group, address = daemon
    running = milter(spam={"spamd": f"{address.host}:{address.port}"})
    assert not _statuses(running, 20)[-1].startswith("Unknown")  # and everything is warm
    before = [running.status("RssAnon"), running.files(), running.status("Threads")]
    os.killpg(group, signal.SIGSTOP)
    try:
        start = time.monotonic()
        took: list[float] = []

        def send() -> None:
            _statuses(running, 1)
            took.append(time.monotonic() - start)

        threads = [threading.Thread(target=send) for _ in range(50)]
        for thread in threads:
            thread.start()
        time.sleep(5)
        during = running.status("Threads")
        for thread in threads:
            thread.join()
        # But libmilter's pool of threads now and then wakes one idle thread for two
        # connections; the second then waits until another thread is free.
        assert sum(seconds < DEADLINE + 5 for seconds in took) >= 40
        assert max(took) < 8 * DEADLINE
    finally:
        os.killpg(group, signal.SIGCONT)
    assert during <= before[2] + 60  # libmilter's, one a busy connection
    wait_until(
        lambda: not _statuses(running, 1)[0].startswith("Unknown"), "spamd is back", seconds=60
    )
    wait_until(lambda: running.files() <= before[1] + 2, "no descriptor is left")
    assert running.status("RssAnon") - before[0] < 8 * 1024  # 50 mails and threads, once
    assert running.log().count("event=spamd-unavailable") >= 50


def _statuses(running: Milter, count: int) -> list[str]:
    """Send *count* mails; return what the milter says of each in X-Spam-Status."""
    found = []
    with connected(running.address) as session:
        session.connect()
        for _ in range(count):
            reply = session.message("<staff@mail.example.edu>", body=b"word " * 500)
            assert reply.word == b"c"
            found += [data for _, data in reply.changes if data.startswith(b"X-Spam-Status")]
    return [each.split(b"\0")[1].decode() for each in found]


def test_the_answer_of_spamd_is_parsed() -> None:
    with server(answering(OK)) as address, client(address) as spamd:
        report = spamd.scan(lambda: HAM)
    assert (report.is_spam, report.score, report.threshold) == (True, 7.5, 5.0)
    assert report.tests == ("A_B", "C")


def test_a_unix_socket_works_too(tmp_path: Path) -> None:
    with server(answering(OK), tmp_path / "s") as address, client(address) as spamd:
        assert spamd.scan(lambda: HAM).is_spam


@pytest.mark.parametrize("kind", ["unix", "inet"])
def test_a_spamd_that_never_reads_costs_neither_time_nor_descriptors(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "s" if kind == "unix" else None
    with (
        server(lambda _: time.sleep(10), path) as address,
        client(address, deadline=0.3) as spamd,
    ):
        before = _descriptors()
        for _ in range(5):
            start = time.monotonic()
            with pytest.raises(SpamdUnavailable, match=r"^timeout$"):
                spamd.scan(lambda: bytes(16 << 20))  # more than any socket holds
            assert time.monotonic() - start < 1
        time.sleep(0.1)
        assert not asyncio.all_tasks(spamd._loop)
        assert len(_descriptors() - before) == 5  # the server's side


def _descriptors() -> set[str]:
    """Return what is open; an earlier test's server may still close some of it."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(each.readlink()))
    return found


@pytest.mark.parametrize(
    ("behave", "why"),
    [
        pytest.param(silent, "timeout", id="silent"),
        pytest.param(dripping, "timeout", id="a byte at a time"),
        pytest.param(resetting, "unreachable", id="reset"),
        pytest.param(endless, "error", id="endless"),
        pytest.param(answering(b""), "error", id="empty"),
        pytest.param(answering(b"junk"), "error", id="junk"),
        pytest.param(answering(b"\xff\xfe\r\n\r\n"), "error", id="binary"),
        pytest.param(answering(b"SPAMD/1.1 75 EX_TEMPFAIL\r\n\r\n"), "error", id="tempfail"),
        pytest.param(answering(b"SPAMD/1.1 76 EX_PROTOCOL\r\n\r\n"), "error", id="protocol"),
        pytest.param(answering(OK[:20]), "error", id="half a header"),
        pytest.param(answering(OK[:-3]), "error", id="half a body"),
        pytest.param(answering(b"SPAMD/1.1 0 EX_OK\r\n\r\n"), "error", id="no verdict"),
        pytest.param(answering(OK.replace(b"True", b"maybe")), "error", id="nonsense"),
        pytest.param(answering(OK + b"x" * 2 * MAX_REPLY), "error", id="too much"),
    ],
)
def test_a_fault_of_spamd_is_no_verdict_and_keeps_the_deadline(
    behave: Callable[[socket.socket], None], why: str
) -> None:
    with server(behave) as address, client(address, deadline=1.0) as spamd:
        start = time.monotonic()
        with pytest.raises(SpamdUnavailable, match=f"^{why}$"):
            spamd.scan(lambda: GTUBE)
        assert time.monotonic() - start < 2


def test_a_refused_connection_is_no_verdict() -> None:
    [port] = free_ports(1)
    nobody = Address("inet", host=HOST, port=port)
    with client(nobody) as spamd, pytest.raises(SpamdUnavailable, match="unreachable"):
        spamd.scan(lambda: HAM)


def test_fifty_at_once_keep_one_deadline_and_one_thread() -> None:
    with server(silent) as address, client(address, deadline=1.0, max_scans=4) as spamd:
        results: list[float] = []

        def scan() -> None:
            start = time.monotonic()
            with pytest.raises(SpamdUnavailable):
                spamd.scan(lambda: HAM)
            results.append(time.monotonic() - start)

        before = threading.active_count()
        threads = [threading.Thread(target=scan) for _ in range(50)]
        for thread in threads:
            thread.start()
        assert threading.active_count() <= before + 50 + 50  # ours, and the server's
        for thread in threads:
            thread.join()
    assert len(results) == 50
    assert max(results) < 2.5


def test_a_message_is_read_only_when_its_scan_may_begin() -> None:
    read: list[int] = []

    def message(number: int) -> bytes:
        read.append(number)
        return HAM

    def scan(number: int) -> None:
        with pytest.raises(SpamdUnavailable):
            spamd.scan(partial(message, number))

    with server(silent) as address, client(address, deadline=1.0, max_scans=2) as spamd:
        threads = [threading.Thread(target=scan, args=(n,)) for n in range(10)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert len(read) == 2
        for thread in threads:
            thread.join()


def test_close_waits_for_scans_in_progress() -> None:
    def slow(connection: socket.socket) -> None:
        read_all(connection)
        time.sleep(0.5)
        connection.sendall(OK)

    with server(slow) as address:
        spamd = Spamd(address, max_scans=1)
        found: list[bool] = []
        threads = [
            threading.Thread(target=lambda: found.append(spamd.scan(lambda: HAM).is_spam))
            for _ in "ab"
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        spamd.close()
        for thread in threads:
            thread.join()
        assert found == [True, True]
        with pytest.raises(SpamdUnavailable, match="closed"):
            spamd.scan(lambda: HAM)


def test_aiospamc_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    # By default it prints every mail's bytes to stderr.
    with server(answering(OK)) as address, client(address) as spamd:
        spamd.scan(lambda: b"secret")
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
