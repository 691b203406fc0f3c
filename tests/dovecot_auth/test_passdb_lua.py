"""passdb.lua in a real Dovecot 2.3 or 2.4 that does nothing else."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.login_dovecot import Client, dovecot
from tests.dovecot_auth.conftest import with_accounts
from tests.dovecot_auth.site import Site, new_site
from tests.stack import programs
from tests.stack.dovecot_release import release

pytestmark = pytest.mark.integration

# How each release is configured with a script, and with another socket than the default.
BLOCK = {
    "2.3": "{kind} {{\n  driver = lua\n  args = file={script} blocking=yes\n}}\n",
    "2.4": "{kind} lua {{\n  lua_file = {script}\n"
    "  lua_settings {{\n    authd = {address}\n  }}\n}}\n",
}
# Faults planted once the script runs, inside its request to authd and around it.
FAULTS = {
    "an error inside the request": "string.format = nil",
    "an error that is not a string": "table.concat = function() error({}) end",
    "an error around the request": "pcall = nil",
    "a useless answer": "pcall = function() return true end",
}
LATER = """\
local init = script_init
function script_init(settings)
  init(settings)
  {fault}
  return 0
end
"""


@contextmanager
def asking(site: Site, fault: str = "") -> Iterator[Path]:
    """Run Dovecot with the script and *fault* planted in it; yield its auth socket."""
    shipped = site.root / "lib/dovecot_auth/passdb.lua"
    script = site.root / "passdb.lua"  # how a site on 2.3 keeps another socket over upgrades
    address = str(site.socket)
    address_line = f'GATEPOST_AUTHD = "{address}"\n' if release() == "2.3" else ""
    script.write_text(f'{address_line}dofile("{shipped}")\n{LATER.format(fault=fault)}')
    (site.root / "dovecot").mkdir(exist_ok=True)
    blocks = [
        BLOCK[release()].format(kind=kind, script=script, address=address)
        for kind in ("passdb", "userdb")
    ]
    with dovecot(site.root / "dovecot", "".join(blocks)) as path:
        yield path


@pytest.fixture(scope="module")
def lua() -> Iterator[tuple[Site, Path]]:
    with new_site() as site, asking(with_accounts(site)) as path:
        yield site, path


def answers(path: Path, user: str, password: str) -> str:
    client = Client(path, 4711)
    try:
        return client.ask(user, password)
    finally:
        client.close()


def test_the_lua_script_answers_like_checkpassword(lua: tuple[Site, Path]) -> None:
    site, path = lua
    with site.running():
        assert "user=alice" in answers(path, "Alice@mail.example.edu", "alice's password")
        assert answers(path, "alice", "alice's password").startswith("OK\t")
        for user, password in (
            ("alice", "wrong"),
            ("nobody", "wrong"),
            ("carol", "carol's password"),
            ("alice", 'odd "=&%+\u00e9\n'),
        ):
            refused = answers(path, user, password)
            assert refused.startswith("FAIL\t")
            assert "temp" not in refused
    log = (site.root / "authd.log").read_text()
    assert "service=imap remote=192.0.2.7" in log


def test_without_authd_a_login_fails_temporarily(lua: tuple[Site, Path]) -> None:
    _, path = lua
    assert "temp" in answers(path, "alice", "alice's password")


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_in_the_lua_script_is_a_temporary_failure(empty_site: Site, fault: str) -> None:
    with empty_site.running(), asking(empty_site, FAULTS[fault]) as path:
        for password in ("alice's password", "wrong"):
            refused = answers(path, "alice", password)
            assert refused.startswith("FAIL\t")
            assert "temp" in refused


def test_a_lookup_returns_home_owner_and_quota(lua: tuple[Site, Path]) -> None:
    site, path = lua
    command = [programs.path("doveadm"), "-c", str(path.parent / "dovecot.conf"), "user"]
    with site.running():
        found = subprocess.run(
            [*command, "alice@mail.example.edu"], check=True, capture_output=True, text=True
        ).stdout
        unknown = subprocess.run([*command, "nobody"], check=False, capture_output=True)
    fields = dict(line.split("\t", 1) for line in found.splitlines()[1:])
    assert fields["home"] == f"{site.root}/mail/alice"
    quota = {"2.3": ("quota_rule", f"*:bytes={500 << 20}")}.get(
        release(), ("quota_storage_size", f"{500 << 20}B")
    )
    assert (fields["uid"], fields[quota[0]]) == ("5000", quota[1])
    assert unknown.returncode == 67
