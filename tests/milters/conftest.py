"""A milter process of its own, as systemd would run it, with accounts of every role."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from config.units import Address
from store import schema
from store.engine import Store
from store.people import accounts
from tests.conftest import CHANGE, settings_for
from tests.stack import tables
from tests.stack.folder import create
from tests.stack.probes import answers, listens
from tests.stack.process import Process

_BASE: dict[str, Any] = {
    "site": {"domains": ["mail.example.edu"], "smtp": "inet:127.0.0.1:1"},
    "roles": {"alumni": {"attachments": "1M"}},
    "spam": {"spamd": ""},
}
FAULT = """
import os, signal, sys
from milters import __main__, adapter, message, service
how, place = sys.argv.pop(1), sys.argv.pop(1)
target, name = place.split(".")
kinds = [getattr(m, target) for m in (adapter, message, service) if hasattr(m, target)]
def broken(original):
    def fail(*args, **kwargs):
        if how == "kill after":
            original(*args, **kwargs)
        if how.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("injected")
    fail.__name__ = name
    return adapter._guarded(fail) if hasattr(original, "__wrapped__") else fail
if target == "Connection":
    kinds = [adapter.UnixConnection, adapter.TcpConnection]
for kind in kinds:
    setattr(kind, name, broken(getattr(kind, name)))
sys.exit(__main__.main())
"""


class Milter:
    """One process, its configuration and its socket."""

    def __init__(
        self, folder: Path, database: Path, overrides: dict[str, Any], *, tcp: int = 0
    ) -> None:
        self.folder = folder
        self.config = folder / "gatepost.toml"
        listen = f"inet:127.0.0.1:{tcp}" if tcp else f"unix:{folder}/milter.sock"
        self.address = Address.parse(listen)
        self._table = tables.merged(
            _BASE,
            {"store": {"url": f"sqlite:///{folder}/gatepost.db"}, "milter": {"listen": listen}},
        )
        self.configure(overrides)
        shutil.copy(database, folder / "gatepost.db")
        self.process = self._process(["-m", "milters"])

    def configure(self, overrides: dict[str, Any]) -> None:
        """Write the configuration with *overrides*."""
        self.config.write_text(tables.dumps(tables.merged(self._table, overrides)))

    def break_at(self, place: str) -> None:
        """Let *place* (``Message.header``) raise in the process that is started next."""
        self.process = self._process(["-c", FAULT, "raise", place])

    def log(self) -> str:
        """Return everything it logged."""
        return self.process.log.read_text("utf-8")

    def status(self, field: str) -> int:
        """Return a number from /proc, such as ``VmRSS`` in KiB or ``Threads``."""
        text = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        [line] = [each for each in text.splitlines() if each.startswith(f"{field}:")]
        return int(line.split()[1])

    def files(self) -> int:
        """Return how many files are open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def has_open(self, file: Path) -> bool:
        """Return whether *file* is open."""
        descriptors = Path(f"/proc/{self.process.pid}/fd").iterdir()
        return any(os.path.realpath(each) == str(file) for each in descriptors)

    def _process(self, words: Sequence[str]) -> Process:
        address = self.address
        return Process(
            name="milter",
            command=[sys.executable, "-I", *words, "--config", str(self.config)],
            log=self.folder / "log",
            ready=lambda: (
                (answers(Path(address.path)) if address.kind == "unix" else listens(address.port))
                and "event=ready" in self.log()
            ),
            group="postfix",
        )


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with an account for each role, to be copied."""
    path = tmp_path_factory.mktemp("store") / "gatepost.db"
    settings = settings_for(f"sqlite:///{path}")
    store = Store(settings.store.url)
    schema.upgrade(store)
    for role in ("staff", "student", "alumni"):
        new = accounts.NewAccount(name=role, role=role)
        accounts.add(store, settings, new, change=CHANGE)
    store.close()
    with closing(sqlite3.connect(path)) as file:  # all of it into the one file that is copied
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


Start = Callable[..., Milter]


def prepared_in(stack: ExitStack, database: Path, overrides: dict[str, Any], tcp: int) -> Milter:
    # Short, and enterable by Postfix (unlike pytest's tmp_path).
    folder = create("gatepost-milter-")
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    shutil.chown(folder, group="postfix")
    folder.chmod(0o2770)
    milter = Milter(folder, database, overrides, tcp=tcp)
    # Not stop(): libmilter takes three seconds to notice.
    stack.callback(lambda: milter.process.kill())  # noqa: PLW0108 - may be replaced
    return milter


@pytest.fixture
def prepared(database: Path) -> Iterator[Start]:
    """Return a function that prepares a milter process; it is stopped afterwards."""
    with ExitStack() as stack:

        def prepare(*, tcp: int = 0, **overrides: Any) -> Milter:
            return prepared_in(stack, database, overrides, tcp)

        yield prepare


@pytest.fixture
def milter(prepared: Start) -> Start:
    """Return a function that starts a milter process."""

    def start(**options: Any) -> Milter:
        made = prepared(**options)
        made.process.start()
        return made

    return start


@pytest.fixture(scope="session")
def shared(database: Path) -> Iterator[Milter]:
    """Return one process for all tests that leave it as it was."""
    with ExitStack() as stack:
        made = prepared_in(stack, database, {}, 0)
        made.process.start()
        yield made
