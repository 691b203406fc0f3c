"""passdb.lua in a real Dovecot 2.3; on 2.4 the whole private stack runs on it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.login_dovecot import Client, dovecot
from tests.dovecot_auth.conftest import people
from tests.dovecot_auth.place import Place, place
from tests.stack import programs
from tests.stack.dovecot_release import release
from tests.stack.ports import HOST

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(release() != "2.3", reason="tests/integration runs on it there"),
]


@pytest.fixture(scope="module")
def lua() -> Iterator[tuple[Place, Path]]:
    with place() as where:
        shipped = where.root / "lib/dovecot_auth/passdb.lua"
        script = where.root / "passdb.lua"  # how a site keeps another address over upgrades
        address = f"http://{HOST}:{where.port}"
        script.write_text(f'GATEPOST_AUTHD = "{address}"\ndofile("{shipped}")\n')
        (where.root / "dovecot").mkdir()
        block = f"{{\n  driver = lua\n  args = file={script} blocking=yes\n}}\n"
        with dovecot(where.root / "dovecot", f"passdb {block}userdb {block}") as path:
            yield people(where), path


def answers(path: Path, user: str, password: str) -> str:
    client = Client(path, 4711)
    try:
        return client.ask(user, password)
    finally:
        client.close()


def test_logins_are_answered_as_by_the_script(lua: tuple[Place, Path]) -> None:
    where, path = lua
    with where.running():
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
    log = (where.root / "authd.log").read_text()
    assert "service=imap remote=192.0.2.7" in log


def test_without_authd_a_login_is_temporary_and_never_wrong(lua: tuple[Place, Path]) -> None:
    _, path = lua
    assert "temp" in answers(path, "alice", "alice's password")


def test_lookups_bring_home_owner_and_quota(lua: tuple[Place, Path]) -> None:
    where, path = lua
    command = [programs.path("doveadm"), "-c", str(path.parent / "dovecot.conf"), "user"]
    with where.running():
        found = subprocess.run(
            [*command, "alice@mail.example.edu"], check=True, capture_output=True, text=True
        ).stdout
        nobody = subprocess.run([*command, "nobody"], check=False, capture_output=True)
    fields = dict(line.split("\t", 1) for line in found.splitlines()[1:])
    assert fields["home"] == f"{where.root}/mail/alice"
    assert (fields["uid"], fields["quota_rule"]) == ("5000", f"*:bytes={500 << 20}")
    assert nobody.returncode == 67
