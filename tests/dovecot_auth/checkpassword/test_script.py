"""The real script as a subprocess: descriptor 3 in, Dovecot's exit codes out (CHECKS 19)."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from dovecot_auth.checkpassword import protocol
from tests.dovecot_auth.site import REPLIED, REPLIED_LOOKUP, Site

pytestmark = pytest.mark.integration  # a process for each test: seconds

LOOKUP = {"AUTHORIZED": "1"}
GOOD = b"alice\0alice's password\0\0"


def environment(done: "subprocess.CompletedProcess[bytes]") -> dict[str, str]:
    return dict(line.split("=", 1) for line in done.stdout.decode().splitlines() if "=" in line)


LONG = b"alice\0" + b"x" * (protocol.MAX_BYTES - 8) + b"\0\0"


@pytest.mark.parametrize(
    ("given", "env", "code"),
    [
        pytest.param(GOOD, {}, REPLIED, id="right password"),
        pytest.param(b"Alice@mail.example.edu" + GOOD[5:], {}, REPLIED, id="full address"),
        pytest.param(b"alice\0wrong\0\0", {}, 1, id="wrong password"),
        pytest.param(b"nobody\0wrong\0\0", {}, 1, id="unknown name"),
        pytest.param(b"erin\0x\0\0", {}, 1, id="no password set"),
        pytest.param(b"carol\0carol's password\0\0", {}, 1, id="suspended"),
        pytest.param(b"dave\0dave's password\0\0", {"SERVICE": "submission"}, 1, id="may not send"),
        pytest.param(b"dave\0dave's password\0\0", {}, REPLIED, id="may read"),
        pytest.param(b"alice\0master's\0\0", {"MASTER_USER": "m"}, REPLIED, id="master user"),
        pytest.param(
            b"nobody\0master's\0\0", {"MASTER_USER": "m"}, 1, id="master user, unknown account"
        ),
        pytest.param(b"alice\0\0\0", {}, 1, id="empty password"),
        pytest.param(b"alice\0\xff\xfe\0\0", {}, 1, id="password not UTF-8"),
        pytest.param(b"al\xffice\0x\0\0", {}, 1, id="name not UTF-8"),
        pytest.param(LONG, {}, 1, id="512 bytes"),
        pytest.param(LONG.replace(b"x", b"xx", 1), {}, 2, id="513 bytes"),
        pytest.param(b"x" * 5000, {}, 2, id="5000 bytes"),
        pytest.param(None, {}, 2, id="closed"),
        pytest.param(b"", {}, 2, id="empty"),
        pytest.param(b"alice\0alice's password\0", {}, 2, id="a NUL missing"),
        pytest.param(b"alice\0alice's password", {}, 2, id="two NULs missing"),
        pytest.param(b"alice", {}, 2, id="three NULs missing"),
        pytest.param(b"\0x\0\0", {}, 2, id="empty name"),
        pytest.param(b"alice\0\0\0", LOOKUP, REPLIED_LOOKUP, id="lookup"),
        pytest.param(b"carol\0\0\0", LOOKUP, REPLIED_LOOKUP, id="lookup of a suspended account"),
        pytest.param(b"nobody\0\0\0", LOOKUP, 3, id="lookup of an unknown account"),
        pytest.param(b"al\xffice\0\0\0", LOOKUP, 3, id="lookup of a name not UTF-8"),
        pytest.param(
            b"alice\0\0\0", {**LOOKUP, "CREDENTIALS_LOOKUP": "1"}, 111, id="CRAM-MD5 and the like"
        ),
    ],
)
@pytest.mark.parametrize("answering", ["authd", "direct"])
def test_descriptor_3_decides_the_exit_code(
    site: Site, answering: str, given: bytes | None, env: dict[str, str], code: int
) -> None:
    options = {"--socket": "/nonexistent"} if answering == "direct" else {}
    done = site.script(given, env=env, options=options)
    assert done.returncode == code, done.stderr
    shown = environment(done)
    if code in {REPLIED, REPLIED_LOOKUP} and done.stdout:
        assert shown["USER"] in {"alice", "carol", "dave"}
        assert shown["HOME"] == f"{site.root}/mail/{shown['USER']}"
        assert shown["userdb_uid"] == shown["userdb_gid"] == "5000"
        assert shown["userdb_quota_rule"] == f"*:bytes={500 * 1024 * 1024}"
        assert shown["EXTRA"].split() == ["userdb_uid", "userdb_gid", "userdb_quota_rule"]
        assert ("AUTHORIZED" in shown) == (code == REPLIED_LOOKUP)
    else:
        assert not done.stdout


@pytest.mark.parametrize(
    "options",
    [
        {"--socket": "/nonexistent", "--config": "/nonexistent"},
        {"--socket": "/nonexistent", "--python": "/nonexistent"},
        {"--socket": "/nonexistent", "--python": "/bin/false"},
    ],
    ids=["no settings", "no interpreter", "an interpreter that fails"],
)
def test_a_missing_file_of_ours_is_never_a_wrong_password(
    site: Site, options: dict[str, str]
) -> None:
    assert site.script(GOOD, options=options).returncode == 111


def test_a_missing_reply_program_is_never_a_wrong_password(site: Site) -> None:
    assert site.script(GOOD, program="/nonexistent").returncode == 111
    nowhere = {"--socket": "/nonexistent"}
    assert site.script(GOOD, program="/nonexistent", options=nowhere).returncode == 111


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def test_a_forbidden_socket_is_never_a_wrong_password(site: Site) -> None:
    done = site.script(GOOD, before=become_nobody)
    assert done.returncode == 111
    assert b"PermissionError" in done.stderr


def test_bad_arguments_exit_2(site: Site) -> None:
    assert site.script(GOOD, options={"--nonsense": "x"}).returncode == 2


def limited(megabytes: int) -> Callable[[], None]:
    size = megabytes << 20
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size))


def starts_python(limit: Callable[[], None]) -> bool:
    """Return whether the interpreter itself starts under *limit*."""
    bare = ["/usr/bin/python3", "-IS", "-c", "import os, fcntl"]
    done = subprocess.run(bare, check=False, capture_output=True, preexec_fn=limit)
    return done.returncode == 0


def test_too_little_memory_is_never_a_wrong_password(site: Site) -> None:
    sizes = [n for n in (8, 12, 14, 16, 20, 24, 32, 48, 64, 96, 128) if starts_python(limited(n))]
    assert len(sizes) > 5
    for megabytes in sizes:
        for options in ({}, {"--socket": "/nonexistent"}):
            done = site.script(GOOD, options=options, before=limited(megabytes))
            assert done.returncode in {REPLIED, 111}, f"{megabytes} MB"


def test_dovecots_own_memory_limit_is_enough_with_and_without_authd(site: Site) -> None:
    limit = limited(256)
    for options in ({}, {"--socket": "/nonexistent"}):
        assert site.script(GOOD, options=options, before=limit).returncode == REPLIED


def test_an_unavailable_store_is_try_later_with_and_without_authd(empty_site: Site) -> None:
    (empty_site.root / "gatepost.db").rename(empty_site.root / "gone")
    (empty_site.root / "gatepost.db").mkdir()
    with empty_site.running():
        for env in ({}, LOOKUP):
            assert empty_site.script(GOOD, env=env).returncode == 111
            without_authd = empty_site.script(GOOD, env=env, options={"--socket": "/nonexistent"})
            assert without_authd.returncode == 111


def test_the_alarm_ends_a_login_when_authd_hangs(empty_site: Site) -> None:
    with empty_site.running() as authd:
        authd.signal(signal.SIGSTOP)
        began = time.monotonic()
        code = empty_site.script(GOOD).returncode
        authd.signal(signal.SIGCONT)
    assert code == -signal.SIGALRM
    assert time.monotonic() - began < 12


def test_killing_authd_in_a_storm_is_never_a_wrong_password(empty_site: Site) -> None:
    authd = empty_site.authd()
    authd.start()
    with ThreadPoolExecutor(8) as pool:
        storm = [pool.submit(empty_site.script, GOOD) for _ in range(120)]
        for _ in range(3):
            time.sleep(0.3)
            authd.kill()
            authd.start()
        codes = {each.result().returncode for each in storm}
    authd.stop()
    assert REPLIED in codes
    assert codes <= {REPLIED, 111, -signal.SIGALRM}
