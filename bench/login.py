"""Logins/s through a real Dovecot 2.3, every way against a reference with the same hash.

8 clients ask Dovecot's own auth socket. The three runs of every way are interleaved,
and the median is shown: the machine's moods fall on all alike.
"""

import argparse
import shutil
import sqlite3
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.login_dovecot import dovecot, logins_per_second
from bench.table import Row, Table
from config.loader import load
from dovecot_auth.checkpassword import script as checkpassword
from store import schema
from store.audit import AuditContext
from store.engine import Store
from store.logins import libcrypt, password_hashes
from store.people import accounts
from tests.stack.folder import create
from tests.stack.probes import answers
from tests.stack.process import Process

CLIENTS = 8
PASSWORD = "correct horse battery"
SCRIPT = Path(checkpassword.__file__)
LUA = SCRIPT.parents[1] / "passdb.lua"
# One account for each hash that is compared.
HASHES = {
    "plain": "{PLAIN}" + PASSWORD,
    "sha512": "{SHA512-CRYPT}" + libcrypt.crypt(PASSWORD.encode(), b"$6$benchmark$").decode(),
    "argon2": password_hashes.hash_password(PASSWORD),
}
# What a site writes by hand: the least that a checkpassword in Python can do.
BARE = f"""#!/usr/bin/python3 -IS
import os, sys
d = b''
while d.count(b'\\0') < 2:
    b = os.read(3, 512)
    if not b: break
    d += b
user, password = (d.split(b'\\0') + [b'', b''])[:2]
if user != b'plain' or password != {PASSWORD.encode()!r}: sys.exit(1)
e = dict(os.environ, USER=user.decode(), HOME='/nonexistent', userdb_uid='5000',
         userdb_gid='5000', userdb_quota_rule='*:bytes=0',
         EXTRA='userdb_uid userdb_gid userdb_quota_rule')
os.execve(sys.argv[1], sys.argv[1:], e)
"""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to check a password: a passdb for Dovecot and the account to log in."""

    name: str
    user: str
    passdb: Callable[[Path], str]
    note: str = ""


def run(options: argparse.Namespace) -> list[Table]:
    """Measure all ways, interleaved."""
    seconds, rounds = (2.0, 1) if options.quick else (5.0, 3)
    root = create("gatepost-bench-")
    found: dict[str, list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        sockets = {}
        for cache in (0, 300):
            stack.enter_context(_authd(root / f"authd{cache}", cache))
        for number, way in enumerate([*SCRIPTS, *LIBRARIES]):
            folder = root / str(number)
            folder.mkdir()
            sockets[way.name] = stack.enter_context(dovecot(folder, way.passdb(root)))
        for _ in range(rounds):
            for way in (*SCRIPTS, *LIBRARIES):
                one = logins_per_second(
                    sockets[way.name],
                    clients=CLIENTS,
                    seconds=seconds,
                    user=way.user,
                    password=PASSWORD,
                )
                found.setdefault(way.name, []).append(one)
    return [
        _table("Logins/s, checkpassword", SCRIPTS, found),
        _table("Logins/s, Lua and sql", LIBRARIES, found),
    ]


def _table(title: str, ways: tuple[Way, ...], found: dict[str, list[tuple[float, float]]]) -> Table:
    rows = []
    reference = 0.0
    for way in ways:
        rate = statistics.median(each[0] for each in found[way.name])
        typical = statistics.median(each[1] for each in found[way.name])
        row = Row(way.name, way.user, rate, "/s", None, f"{typical:.1f} ms {way.note}".strip())
        if reference:
            row = replace(row, ratio=rate / reference)
        reference = reference or rate
        rows.append(row)
    return Table(f"{title}, {CLIENTS} clients, Dovecot 2.3", ways[0].name, rows)


@contextmanager
def _authd(folder: Path, cache: int) -> Iterator[None]:
    """Run authd in *folder* with every account; hashes stay as they are."""
    folder.mkdir()
    config = folder / "gatepost.toml"
    config.write_text(
        '[site]\ndomains = ["mail.example.edu"]\n'
        f'[store]\nurl = "sqlite:///{folder}/gatepost.db"\n'
        f'[auth]\nlisten = ["unix:{folder}/auth.sock"]\n'
        f"upgrade_hashes = false\ncache_seconds = {cache}\n"
    )
    settings = load(config)
    store = Store(settings.store.url)
    schema.upgrade(store)
    for name, stored in HASHES.items():
        new = accounts.NewAccount(name=name, role="student", password=stored)
        accounts.add(store, settings, new, change=AuditContext("bench", "a benchmark"))
    store.close()
    lua = LUA.read_text().replace("/run/gatepost/auth.sock", f"{folder}/auth.sock")
    (folder / "passdb.lua").write_text(lua)
    process = Process(
        name="authd",
        command=[sys.executable, "-I", "-m", "dovecot_auth", "--config", str(config)],
        log=folder / "authd.log",
        ready=lambda: answers(folder / "auth.sock"),
        group="dovecot",
    )
    process.start()
    try:
        yield
    finally:
        process.stop()


def _bare(root: Path) -> str:
    script = root / "bare"
    script.write_text(BARE)
    script.chmod(0o755)
    return _checkpassword(str(script))


def _ours(cache: int) -> Callable[[Path], str]:
    def passdb(root: Path) -> str:
        folder = root / f"authd{cache}"
        return _checkpassword(
            f"{SCRIPT} --socket {folder}/auth.sock --config {folder}/gatepost.toml"
            f" --python {sys.executable}"
        )

    return passdb


def _checkpassword(arguments: str) -> str:
    return f"passdb {{\n  driver = checkpassword\n  args = {arguments}\n}}"


def _lua(cache: int) -> Callable[[Path], str]:
    def passdb(root: Path) -> str:
        path = root / f"authd{cache}/passdb.lua"
        return f"passdb {{\n  driver = lua\n  args = file={path} blocking=yes\n}}"

    return passdb


def _sql(root: Path) -> str:
    """Dovecot's own sql passdb on a table of the same hashes."""
    database, conf = root / "sql.db", root / "sql.conf"
    if not database.exists():
        with sqlite3.connect(database) as connection:
            connection.execute("CREATE TABLE account (name TEXT PRIMARY KEY, password TEXT)")
            connection.executemany("INSERT INTO account VALUES (?, ?)", HASHES.items())
        connection.close()
        database.chmod(0o644)
    conf.write_text(
        f"driver = sqlite\nconnect = {database}\npassword_query = "  # noqa: S608 - Dovecot's %u
        "SELECT name AS user, password, '/nonexistent' AS userdb_home, 5000 AS userdb_uid, "
        "5000 AS userdb_gid FROM account WHERE name = '%u'\n"
    )
    return f"passdb {{\n  driver = sql\n  args = {conf}\n}}"


SCRIPTS = (
    Way("bare python3 -IS", "plain", _bare),
    Way("checkpassword.py + authd", "plain", _ours(0)),
    Way("checkpassword.py, cached", "plain", _ours(300)),
    Way("checkpassword.py, Argon2id", "argon2", _ours(0), "(the hash is the limit)"),
    Way("checkpassword.py, Argon2id, cached", "argon2", _ours(300)),
)
LIBRARIES = (
    Way("Dovecot's sql passdb", "sha512", _sql),
    Way("passdb.lua + authd", "sha512", _lua(0)),
    Way("passdb.lua, cached", "sha512", _lua(300)),
    Way("sql passdb, Argon2id", "argon2", _sql, "(the hash is the limit)"),
    Way("passdb.lua, Argon2id", "argon2", _lua(0), "(the hash is the limit)"),
    Way("passdb.lua, Argon2id, cached", "argon2", _lua(300)),
)
