"""The passwd-file of ``account export``: Dovecot serves everybody from it, without gatepost."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.stack import tls
from tests.stack.clients import Clients, Login, LoginRefused
from tests.stack.dovecot import Dovecot
from tests.stack.dovecot_release import release
from tests.stack.layout import MAIL_UID, Layout
from tests.stack.stack import DOMAIN, Stack

PASSDB = {
    "2.3": """\
passdb {{
  driver = passwd-file
  args = username_format=%n {file}
}}
userdb {{
  driver = passwd-file
  args = username_format=%n {file}
}}
""",
    "2.4": """\
auth_username_format = %{{user | username | lower}}
passdb passwd-file {{
  passwd_file_path = {file}
}}
userdb passwd-file {{
  passwd_file_path = {file}
}}
""",
}
_NUMBERS = itertools.count(1)
WORDS = "a new staple battery"
NO_LIMIT = 0


@contextmanager
def serving(users: str) -> Iterator[Clients]:
    """Run a Dovecot that knows nothing of gatepost but the passwd-file *users*."""
    layout = Layout.create()
    dovecot = None
    try:
        tls.make(layout.certificate)
        (layout.spool / "private").mkdir(parents=True)  # quota-status listens there
        dovecot = Dovecot(layout)
        folder = layout.root / "dovecot/conf.d"
        (folder / "gatepost-postfix.conf").unlink()
        file = layout.root / "users"
        file.write_text(users)
        (folder / "gatepost-auth.conf").write_text(PASSDB[release()].format(file=file))
        dovecot.process.start()
        yield Clients(layout.ports, tls.client(layout.certificate))
    finally:
        if dovecot is not None:
            dovecot.process.stop()
        layout.remove()


COLUMNS = "name,role,password_hash,mailbox,suspended_sending,suspended_everything"
PEOPLE: dict[str, tuple[str, int | None]] = {
    # name: the columns from mailbox on, and the quota in KiB; None: no login
    "fresh": (",,", 500 * 1024),  # with a password set since
    "grown": ("700M,,", 700 * 1024),
    "odd": ("1234567K,,", 1234567),
    "free": ("unlimited,,", NO_LIMIT),
    "older": (",,", 50 * 1024),  # an alumnus by now
    "quiet": (",- spam,", 500 * 1024),
    "stopped": (",,- phished", None),
}


@pytest.fixture
def people(stack: Stack) -> dict[str, Login]:
    """Make everybody of `PEOPLE`."""
    run = next(_NUMBERS)
    logins = {name: Login(f"{name}{run}", f"{WORDS}: {name}") for name in PEOPLE}
    rows = (
        f"{login.name},student,{{PLAIN}}{login.password},{PEOPLE[name][0]}\n"
        for name, login in logins.items()
    )
    file = stack.layout.root / "people.csv"
    file.write_text(f"{COLUMNS}\n{''.join(rows)}")
    stack.gatepost("account", "import", str(file)).check_returncode()
    stack.gatepost("account", "graduate", logins["older"].name).check_returncode()
    fresh = Login(logins["fresh"].name, f"{WORDS} of today")
    words = ("account", "passwd", fresh.name, "--password-stdin")
    stack.gatepost(*words, given=f"{fresh.password}\n").check_returncode()
    return {**logins, "fresh": fresh}


def quota_of(clients: Clients, login: Login) -> int:
    """Return the quota in KiB as a mail program is told it."""
    with clients.imap(login) as mailbox:
        try:
            return mailbox.quota()[1]
        except LookupError:
            return NO_LIMIT


def test_everybody_logs_in_from_the_exported_file_with_the_quota_and_the_suspended_do_not(
    stack: Stack, people: dict[str, Login]
) -> None:
    done = stack.gatepost("account", "export", "--format", "dovecot", "--dovecot", release())
    done.check_returncode()
    with serving(done.stdout) as clients:
        for name, login in people.items():
            quota = PEOPLE[name][1]
            for written in (login.name, f"{login.name}@{DOMAIN}"):
                attempt = Login(written, login.password)
                if quota is None:
                    with pytest.raises(LoginRefused, match="Authentication failed"):
                        clients.imap(attempt)
                else:
                    assert quota_of(clients, attempt) == quota, name
    home = stack.layout.mail / people["fresh"].name
    assert home.stat().st_uid == MAIL_UID


QUOTAS = {
    "2.3": [
        f"userdb_quota_rule=*:{rule}"
        for rule in (
            "storage=20G", "storage=20g", "storage=1234567", "bytes=73400320", "bytes=70M",
            "storage=70M:messages=9", "messages=9:storage=70M", "storage=0",
        )
    ],
    "2.4": [
        f"userdb_quota_storage_size={size}"
        for size in ("20G", "20GB", "20GiB", "70M", "73400320", "unlimited")
    ],
}  # fmt: skip


def test_an_import_reads_each_quota_as_dovecot_does(stack: Stack) -> None:
    quotas = {f"quota{next(_NUMBERS)}": field for field in QUOTAS[release()]}
    users = "".join(
        f"{name}:{{PLAIN}}{WORDS}:{MAIL_UID}:{MAIL_UID}::{stack.layout.mail}/{name}::{field}\n"
        for name, field in quotas.items()
    )
    file = stack.layout.root / "old-users"
    file.write_text(users)
    words = ("account", "import", str(file), "--format", "dovecot", "--role", "staff")
    done = stack.gatepost(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    with serving(users) as clients:
        for name, field in quotas.items():
            told = quota_of(clients, Login(name, WORDS))
            assert quota_of(stack.clients, Login(name, WORDS)) == told, field
