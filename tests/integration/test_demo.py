"""What the demo prints for a kept stack works when pasted."""

import subprocess

from tests.demo_keep import hints
from tests.integration.conftest import People
from tests.stack.stack import Stack


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
