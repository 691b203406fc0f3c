"""What breaks in the login script itself, seen through a real Dovecot 2.3 (CHECKS 19).

Mail programs are told "try later", never "wrong password". 2.4 runs no script, and
tests/conftest.py leaves this file out there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.conftest import People
from tests.stack.clients import LoginRefused
from tests.stack.stack import Stack

pytestmark = pytest.mark.usefixtures("trouble")

# Dovecot has an interpreter run the script, and gives it a program to become.
IMPORT = "    from dovecot_auth.checkpassword.client import main\n"
GONE = (
    "import os, sys\n*words, program = sys.argv[1:]\n"
    "os.execv(sys.executable, [sys.executable, '-IS', {!r}, *words, program + '.gone'])\n"
)
# Less than the interpreter has already: it gets nothing more.
LIMIT = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (8 << 20, 8 << 20))\n"


def faulty(whole: str, kept: Path) -> dict[str, str | None]:
    """Return the text of the script with each fault in it, ``None`` for no script at all."""
    return {
        "it is not there": None,
        "the reply program is not there": GONE.format(str(kept)),
        "no memory": LIMIT + whole,
        "an exception at the import": whole.replace(IMPORT, "    raise MemoryError\n"),
        "an exception at the login": whole.replace(
            IMPORT,
            IMPORT
            + "    from dovecot_auth.checkpassword import protocol\n    del protocol.parse\n",
        ),
        "an exception nobody knows": whole.replace(
            IMPORT, IMPORT + "    class Odd(BaseException): pass\n    def main(): raise Odd\n"
        ),
        "killed": "import os\nos.kill(os.getpid(), 9)\n",
    }


FAULTS = tuple(faulty("", Path()))


@contextmanager
def broken(stack: Stack, fault: str) -> Iterator[None]:
    """Have Dovecot run a script with *fault*."""
    path = stack.layout.root / "lib/dovecot_auth/checkpassword/script.py"
    kept = path.with_name("whole.py")
    path.rename(kept)
    try:
        whole = kept.read_text()
        assert IMPORT in whole
        text = faulty(whole, kept)[fault]
        if text is not None:
            path.write_text(text)
            path.chmod(0o755)
        yield
    finally:
        path.unlink(missing_ok=True)
        kept.rename(path)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_script_is_never_a_wrong_password(
    stack: Stack, people: People, fault: str
) -> None:
    login = people.student.login
    with broken(stack, fault):
        with pytest.raises(LoginRefused) as imap:
            stack.clients.imap(login)
        with pytest.raises(LoginRefused) as pop3:
            stack.clients.pop3(login)
    assert "[UNAVAILABLE]" in str(imap.value)
    assert "[SYS/TEMP]" in str(pop3.value)
    assert stack.clients.pop3(login).startswith("+OK")
