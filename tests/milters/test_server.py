"""The running process, spoken to as Postfix speaks (check 15)."""

import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import time
from pathlib import Path

import pytest

from milters.adapter import ACTIONS
from milters.service import MAX_MESSAGES
from tests.milters import fake_spamd
from tests.milters.client import Gone, connected
from tests.milters.conftest import Milter, Start
from tests.stack.clients import wait_until
from tests.stack.ports import free_port

pytestmark = pytest.mark.integration
STAFF, ALUMNI = "<staff@mail.example.edu>", "<alumni@mail.example.edu>"
PDF = {b"Content-Type": b"application/pdf"}
MIB = 1 << 20
SPAMMY = b"SPAMD/1.1 0 EX_OK\r\nContent-length: 5\r\nSpam: True ; 7.5 / 5.0\r\n\r\nA_B,C"


def test_only_the_actions_and_steps_that_are_used_are_negotiated(shared: Milter) -> None:
    with connected(shared.address) as client:
        assert client.actions == ACTIONS == 0x1 | 0x8 | 0x10 | 0x100
        # Not sent: connect (its macros tell), unknown commands.
        assert client.steps & 0x341 == 0x101
        # Not answered: HELO, MAIL, RCPT, header fields and their end.
        assert client.steps & 0x4E080 == 0x4E080
        # Answered: DATA, and the body, which may be skipped.
        assert not client.steps & 0x90000
        assert client.steps & 0x400


def test_over_tcp_every_step_is_answered(milter: Start) -> None:
    with connected(milter(tcp=free_port()).address) as client:
        assert not client.steps & (0xD080 | 0x202 | 0x2000 | 0x10000)


def test_a_message_that_needs_no_change_gets_none(shared: Milter) -> None:
    hard = b"\0\x80\xff" + b"x" * 5000 + b"\r\n.\r\n\nbare\rbare\r\n--\r\n"
    with connected(shared.address) as client:
        client.connect()
        for body in (b"", hard, hard * 1000):
            reply = client.message(STAFF, body=body, headers={b"Subject": b"caf\xe9\n\tfold"})
            assert (reply.word, reply.changes) == (b"c", ())


def test_nothing_of_one_message_is_left_in_the_next(shared: Milter) -> None:
    with connected(shared.address) as client:
        client.connect()
        assert client.message(ALUMNI, body=b"x" * 2 * MIB, headers=PDF).word == b"y"
        assert client.message(ALUMNI, body=b"x" * 2000, headers=PDF).word == b"c"
        assert client.message(STAFF, body=b"x" * 2 * MIB, headers=PDF).word == b"c"


def test_a_declared_size_of_zero_is_ignored(shared: Milter) -> None:
    with connected(shared.address) as client:
        client.connect()
        client.mail("<a@b.example>", "SIZE=0")
        client.rcpt(ALUMNI)
        for _ in range(32):  # of text, which is no attachment
            client.body(b"x" * 65535)
        assert client.end().word == b"c"


def test_an_abort_forgets_the_message(shared: Milter) -> None:
    with connected(shared.address) as client:
        client.connect()
        client.mail()
        client.rcpt(ALUMNI)
        client.header(b"Content-Type", b"application/pdf")
        client.body(b"x" * 65535)
        client.abort()
        assert client.message(STAFF, body=b"x" * 2 * MIB, headers=PDF).word == b"c"
        client.abort()
        client.abort()
        assert client.message(ALUMNI, body=b"hello").word == b"c"


@pytest.mark.parametrize("version", [2, 3, 4, 6])
def test_an_mta_that_can_do_less_is_served(shared: Milter, version: int) -> None:
    with connected(shared.address, negotiate=False) as client:
        client.negotiate(version=version, actions=0x3F, steps=0x7F)
        client.connect()
        assert not client.steps & ~0x7F
        assert client.message(ALUMNI, body=b"x" * 2 * MIB, headers=PDF).word == b"y"


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"\0" * 64,
        b"\xff" * 64,
        struct.pack(">I", 0x7FFFFFFF) + b"O",
        struct.pack(">I", 1) + b"?",
        struct.pack(">I", 3) + b"Oxx",
        b"\0\0\0\x05Lname",
    ],
)
def test_garbage_ends_its_own_connection_and_no_other(shared: Milter, garbage: bytes) -> None:
    with connected(shared.address) as good:
        good.connect()
        with connected(shared.address, negotiate=False) as bad:
            bad.raw(garbage)
        assert good.message(STAFF).word == b"c"
    assert shared.process.alive


def test_a_percent_sign_in_a_reply_survives(milter: Start) -> None:
    with connected(milter(attachments={"advice": "100% too big, 5 %s."}).address) as client:
        client.connect()
        reply = client.message(ALUMNI, body=b"x" * 2 * MIB, headers=PDF)
        # Doubled as libmilter wants it; Postfix halves it (milter8.c, SMFIR_REPLYCODE).
        assert reply.text.replace("%%", "%").endswith("100% too big, 5 %s.")


def test_the_socket_is_for_its_group_and_a_stale_one_is_no_obstacle(prepared: Start) -> None:
    running = prepared()
    path = Path(running.address.path)
    for _ in range(2):
        running.process.start()
        mode = path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o660
        assert path.group() == "postfix"
        running.process.kill()
        assert path.exists()


def test_a_bad_configuration_is_exit_78(prepared: Start) -> None:
    running = prepared()
    running.configure({"spam": {"nonsense": 1}})
    running.process.launch()
    wait_until(lambda: not running.process.alive, "the process gives up")
    assert running.process.stop() == os.EX_CONFIG
    assert "spam.nonsense" in running.log()


def test_a_socket_that_cannot_be_created_is_logged_and_exit_69(prepared: Start) -> None:
    running = prepared()
    running.configure({"milter": {"listen": f"unix:{running.folder}/no/such/folder"}})
    running.process.launch()
    wait_until(lambda: not running.process.alive, "the process gives up")
    assert running.process.stop() == os.EX_UNAVAILABLE
    assert "event=cannot-listen" in running.log()


def test_reload_changes_messages_that_begin_later(milter: Start) -> None:
    running = milter()
    with connected(running.address) as client:
        client.connect()
        client.mail()
        client.rcpt(ALUMNI)
        running.configure({"roles": {"alumni": {"attachments": "10M"}}})
        running.process.signal(signal.SIGHUP)
        wait_until(lambda: "event=reloaded" in running.log(), "reload")
        client.header(b"Content-Type", b"application/pdf")
        for _ in range(32):
            client.body(b"x" * 65535)
        assert client.end().word == b"y"  # began under the old limit
        assert client.message(ALUMNI, body=b"x" * 2 * MIB, headers=PDF).word == b"c"


def test_a_broken_configuration_keeps_the_old_one(milter: Start) -> None:
    running = milter()
    running.configure({"spam": {"nonsense": 1}})
    running.process.signal(signal.SIGHUP)
    wait_until(lambda: "event=reload-failed" in running.log(), "the complaint")
    assert running.log().count("ERROR") == 1
    with connected(running.address) as client:
        client.connect()
        assert client.message(ALUMNI, body=b"x" * 2 * MIB, headers=PDF).word == b"y"


def test_sigterm_finishes_messages_in_progress_and_admits_no_new_ones(milter: Start) -> None:
    with fake_spamd.server(slow) as spamd:
        running = milter(spam={"spamd": f"{spamd.host}:{spamd.port}"})
        with connected(running.address) as first, connected(running.address) as second:
            first.connect()
            second.connect()
            first.mail()
            first.rcpt(STAFF)
            first.header(b"Subject", b"x")
            first.body(b"x")  # is answered, so the message is in progress
            running.process.signal(signal.SIGTERM)
            wait_until(lambda: not Path(running.address.path).exists(), "the socket is gone")
            late = second.message(STAFF)
            assert late.text == "451 4.3.2 The mail filter is busy; please try again later"
            reply = first.end()
            assert reply.word == b"c"
            assert any(b"X-Spam-Flag" in data for _, data in reply.changes)
        assert running.process.stop() == 0
    assert "event=stopped" in running.log()


def slow(connection: socket.socket) -> None:
    fake_spamd.read_all(connection)
    time.sleep(1)
    connection.sendall(SPAMMY)


def test_idle_connections_do_not_delay_sigterm(milter: Start) -> None:
    running = milter()
    with connected(running.address) as client:
        client.connect()
        client.message(STAFF)
        start = time.monotonic()
        assert running.process.stop() == 0
        assert time.monotonic() - start < 8


def test_messages_beyond_the_maximum_are_deferred(milter: Start) -> None:
    running = milter()
    clients = [connected(running.address) for _ in range(MAX_MESSAGES + 1)]
    opened = [each.__enter__() for each in clients]
    try:
        for client in opened:
            client.connect()
            client.mail()
            client.rcpt(STAFF)
        for client in opened:
            client.body(b"x")  # is answered, so all before it is done
        texts = [client.end().text for client in opened]
    finally:
        for each in clients:
            each.__exit__(None, None, None)
    *taken, late = sorted(texts)
    assert late == "451 4.3.2 The mail filter is busy; please try again later"
    assert not any(taken)


def test_a_milter_that_dies_at_any_step_is_seen_as_gone(milter: Start) -> None:
    running = milter()
    with connected(running.address) as client:
        client.connect()
        client.mail()
        running.process.kill()
        with pytest.raises((Gone, OSError)):
            client.end()


def test_without_a_store_the_largest_limit_holds(prepared: Start) -> None:
    running = prepared(roles={"staff": {"attachments": "3M"}, "student": {"attachments": "2M"}})
    for each in running.folder.glob("gatepost.db*"):
        each.unlink()
    (running.folder / "gatepost.db").mkdir()  # cannot be opened
    running.process.start()
    with connected(running.address) as client:
        client.connect()
        assert client.message(ALUMNI, body=b"x" * 2 * MIB, headers=PDF).word == b"c"
        assert (
            client.message("<x@elsewhere.example>", body=b"x" * 4 * MIB, headers=PDF).word == b"c"
        )
        reply = client.message(ALUMNI, body=b"x" * 4 * MIB, headers=PDF)
        assert "limit of 3 MiB" in reply.text
    assert running.log().count("event=accounts-unknown") == 1


@pytest.mark.parametrize(("count", "every"), [
    pytest.param(3_000, 1_000, id="short"),
    pytest.param(200_000, 10_000, id="long", marks=[pytest.mark.slow, pytest.mark.timeout(5400)]),
])  # fmt: skip
def test_soak(milter: Start, count: int, every: int) -> None:
    running = milter()
    seen: list[tuple[int, int, int]] = []
    for number in range(count):
        with connected(running.address) as client:
            client.connect()
            client.message(ALUMNI, body=b"--x\r\n\r\n" + b"y" * 3000, headers=PDF)
        if number % every == every - 1:
            seen.append((running.status("VmRSS"), running.files(), running.status("Threads")))
    memory = [each[0] for each in seen]
    messages = (len(memory) - 1) * every
    # From the first sample on: 1 MB in 10,000 messages is the promise; the short form
    # allows for one arena of the allocator.
    assert memory[-1] - memory[0] < max(1000 * messages / 10_000, 1500)
    assert max(each[1] for each in seen) - min(each[1] for each in seen) <= 2
    assert max(each[2] for each in seen) - min(each[2] for each in seen) <= 4


def test_miltertest_of_opendkim_agrees(shared: Milter, tmp_path: Path) -> None:
    script = tmp_path / "script.lua"
    script.write_text(MILTERTEST % shared.address.path)
    program = shutil.which("miltertest")
    assert program, "miltertest is missing: apt-get install miltertest"
    done = subprocess.run(
        [program, "-s", str(script)], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


MILTERTEST = """
conn = mt.connect("unix:%s")
if conn == nil then error("connect") end
function must(step) if step ~= nil then error(step) end end
for n = 1, 3 do
  mt.macro(conn, SMFIC_CONNECT, "{client_addr}", "192.0.2.1")
  mt.macro(conn, SMFIC_MAIL, "i", "4ABC")
  must(mt.mailfrom(conn, "<a@b.example>"))
  must(mt.rcptto(conn, "<alumni@mail.example.edu>"))
  must(mt.header(conn, "Content-Type", "application/pdf"))
  must(mt.header(conn, "X-Spam-Flag", "NO"))
  must(mt.bodystring(conn, string.rep("x", 1000)))
  must(mt.eom(conn))
  if mt.getreply(conn) ~= SMFIR_CONTINUE then error("reply") end
  if not mt.eom_check(conn, MT_HDRDELETE, "X-Spam-Flag") then error("not removed") end
  mt.abort(conn)
end
mt.disconnect(conn)
"""
