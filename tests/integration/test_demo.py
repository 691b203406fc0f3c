"""The demo goes as promised, says so by its exit code, and what it prints works when pasted."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.demo.__main__ import take
from tests.demo.keep import hints
from tests.demo.tour import STEPS, Outcome, Tour
from tests.integration.conftest import People
from tests.stack.stack import Stack

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "tests.demo.__main__"]
LOGINS = ("by IMAP", "by POP3", "for sending")
SECONDS = 200  # half a minute alone on the machine


def tour(stack: Stack, people: People) -> Tour:
    """Return a tour with the shared people."""
    return Tour(stack, people.staff, people.student, people.alumni, stack.computer())


@pytest.mark.timeout(SECONDS + 60)
def test_the_demo_goes_as_promised() -> None:
    done = subprocess.run(
        DEMO, check=False, capture_output=True, text=True, timeout=SECONDS, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✓") == len(STEPS)


def test_a_step_that_breaks_is_told_and_counted(stack: Stack, people: People) -> None:
    def broken(_tour: Tour) -> Outcome:
        raise TimeoutError("the mail did not come")

    _title, outcome, _seconds = take(1, "a step", broken, tour(stack, people))
    assert not outcome.right
    assert outcome.said == "TimeoutError: the mail did not come"


def test_a_kept_demo_ends_with_a_signal_and_leaves_nothing() -> None:
    with subprocess.Popen(
        [*DEMO, "--keep", "--no-tour"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as demo:
        assert demo.stdout
        said = ""
        while "tail -F" not in said:
            said += demo.stdout.readline()
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(SECONDS) == 128 + signal.SIGTERM
    found = re.search(r"/var/tmp/gatepost-stack-\w+", said)
    assert found
    assert not Path(found[0]).exists()


def test_a_kept_demo_whose_server_dies_says_so_and_fails() -> None:
    with subprocess.Popen(
        [*DEMO, "--keep", "--no-tour"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as demo:
        assert demo.stdout
        while "tail -F" not in demo.stdout.readline():
            continue
        mine = ["-P", str(demo.pid), "-f", "--", "-m policyd"]
        subprocess.run(["pkill", "-KILL", *mine], check=True)
        assert demo.wait(SECONDS) == 1
        assert "ended by itself: policyd" in demo.stdout.read()


def test_the_tour_prints_the_replies_of_the_servers(stack: Stack, people: People) -> None:
    said = [dict(STEPS)[f"sign in {how}"](tour(stack, people)).said for how in LOGINS]
    assert said[0].startswith("OK Logged in")
    assert re.match(r"\+OK \d+ messages", said[1])
    assert said[2] == "235 2.7.0 Authentication successful"


def test_the_printed_commands_work_as_printed(stack: Stack, people: People) -> None:
    for hint in hints(stack, people.staff, people.student):
        if not hint.ends:
            continue
        done = subprocess.run(
            ["bash", "-c", hint.command], check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{hint.command}\n{done.stdout}{done.stderr}"
        assert done.stdout
        if "send" in hint.purpose:
            with stack.clients.imap(people.student.login) as mailbox:
                mailbox.wait_for("hello")
