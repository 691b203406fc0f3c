"""Checks 5 and 6: peers that send noise, send slowly, or do not read."""

import contextlib
import socket
import time
from pathlib import Path

import pytest

from policyd.protocol import MAX_REQUEST
from tests.chaos.conftest import descriptors, memory
from tests.policyd.conftest import wire
from tests.policyd.daemon import Client, Daemon, configure, prepared, running

MIB = 1 << 20


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
def test_endless_noise_takes_no_memory_and_disturbs_no_other_peer(
    daemon: Daemon, noise: bytes
) -> None:
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
def test_a_peer_that_never_reads_replies_is_not_read_from_forever(daemon: Daemon) -> None:
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
def test_with_few_descriptors_most_idle_clients_stay_and_new_ones_are_served(
    tmp_path: Path,
) -> None:
    slow_and_idle(tmp_path, files=256, kept=190, seconds=8)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_idle_connections_outlive_those_of_postfix(tmp_path: Path) -> None:
    # smtpd_policy_service_max_idle is 300 s
    slow_and_idle(tmp_path, files=ENOUGH_FILES, kept=300, seconds=310)
