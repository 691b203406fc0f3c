"""How to use a kept stack: commands to paste, each of which works as printed.

Plain Python and gatepost's own command: nothing that a bare machine lacks. A test
runs every one of them (tests/integration/test_demo.py).
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from tests.stack.ports import HOST
from tests.stack.stack import Account, Stack


@dataclass(frozen=True, slots=True)
class Hint:
    """A command and what it is for."""

    purpose: str
    command: str
    ends: bool = True  # False: it follows a log until Ctrl-C


def hints(stack: Stack, sender: Account, receiver: Account) -> list[Hint]:
    """Return the commands to send, read and watch."""
    return [
        Hint(f"send from {sender.name} to {receiver.name}", _send(stack, sender, receiver)),
        Hint(f"read the newest mail of {receiver.name}", _read(stack, receiver)),
        Hint("ask gatepost", f"{_gatepost(stack)} limit show"),
        Hint("see an account", f"{_gatepost(stack)} account show {sender.name}"),
        Hint("see what waits", f"postqueue -c {stack.layout.root}/postfix/conf -p"),
        Hint("watch all logs", f"tail -F {stack.layout.log}/*.log", ends=False),
    ]


def _send(stack: Stack, sender: Account, receiver: Account) -> str:
    return _python(
        "import smtplib, ssl",
        f"s = smtplib.SMTP('{HOST}', {stack.layout.ports.submission})",
        f"s.starttls(context=ssl.create_default_context(cafile='{stack.layout.certificate}'))",
        f"s.login('{sender.name}', '{sender.login.password}')",
        f"print(s.sendmail('{sender.address}', '{receiver.address}',"
        r" 'Subject: hello\n\nfrom the demo\n') or 'sent')",
    )


def _read(stack: Stack, person: Account) -> str:
    return _python(
        "import imaplib, ssl",
        f"t = ssl.create_default_context(cafile='{stack.layout.certificate}')",
        f"m = imaplib.IMAP4_SSL('{HOST}', {stack.layout.ports.imaps}, ssl_context=t)",
        f"m.login('{person.name}', '{person.login.password}')",
        "m.select()",
        "print(m.fetch('*', '(BODY.PEEK[])')[1][0][1].decode()[:2000])",
    )


def _python(*statements: str) -> str:
    return f'python3 -c "{"; ".join(statements)}"'


def _gatepost(stack: Stack) -> str:
    program = Path(sys.executable).parent / "gatepost"
    return f"{program} --config {stack.layout.settings}"
