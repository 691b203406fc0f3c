"""Two hundred logins at once (check 20b)."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from store.logins import password_hashes
from store.people import accounts
from tests.dovecot_auth.site import CHANGE, Site, new_site

pytestmark = pytest.mark.integration
LOGINS = 200
PASSWORD = "correct horse"
# One check takes 19 MiB; authd itself 60 MB.
MAX_MEMORY = 200 << 20
CORES = 2
ALL_SECONDS = 5.0
SCRIPT_SECONDS = 10.0  # then the login script gives up by itself


@pytest.fixture
def site() -> Iterator[Site]:
    """Return a site with an account for each login, all with the hash of new accounts."""
    stored = password_hashes.hash_password(PASSWORD)
    with new_site() as site:
        for number in range(LOGINS):
            new = accounts.NewAccount(f"user{number}", "student", password=stored)
            accounts.add(site.store, site.settings, new, change=CHANGE)
        yield site


def peak_memory(pid: int) -> int:
    """Return the largest resident set so far, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def processor_seconds(pid: int) -> float:
    """Return the processor time used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_two_hundred_logins_at_once_are_answered_in_time_and_bounded_memory(site: Site) -> None:
    def login(number: int) -> tuple[int, float]:
        began = time.monotonic()
        status, _ = site.ask(
            "/verify",
            user=f"user{number}",
            password=PASSWORD,
            service="imap",
            remote=f"192.0.{number}.7",
        )
        return status, time.monotonic() - began

    with site.running() as authd, ThreadPoolExecutor(LOGINS) as pool:
        results = list(pool.map(login, range(LOGINS)))
        assert peak_memory(authd.pid) < MAX_MEMORY
        # On an idle machine the last login waits for this, divided by the cores.
        assert processor_seconds(authd.pid) / CORES < ALL_SECONDS
    assert {status for status, _ in results} <= {200, 503}  # "try later", never "wrong password"
    assert max(seconds for _, seconds in results) < SCRIPT_SECONDS
