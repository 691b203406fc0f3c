"""What all tests share: a store of each kind of database, and settings to go with it."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from config.settings import Settings
from store import schema
from store.audit import AuditContext
from store.engine import Store
from tests.stack import folder, mariadb, postgres, programs
from tests.stack.dovecot_release import release

CHANGE = AuditContext("tester", "a test")
# No example has a time of its own (200 ms otherwise), which a busy machine breaks for nothing:
# what is slow breaks the time of its test.
# The same examples every time: a landing must not hang on luck. `--slow` looks for others.
hypothesis.settings.register_profile("gatepost", deadline=None, derandomize=True)
hypothesis.settings.load_profile("gatepost")
# Tests of a program that Dovecot 2.4 does not run (what breaks in its own: test_passdb_lua).
OF_DOVECOT_2_3 = {"test_script_faults.py"}
# All of these start a milter, and are marked `integration`.
_IMPORTS_PYMILTER = re.compile(r"^from milters\.(adapter|server) import", re.MULTILINE)


def pytest_configure() -> None:
    """See to it that nothing of a killed run stays behind."""
    folder.watch()


LEFT_OUT = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count the unit tests that `-m` left out: with workers pytest itself does not say."""
    left_out = [item for item in items if item.get_closest_marker("system")]
    if left_out:
        config = left_out[0].config
        config.stash[LEFT_OUT] = len(left_out)
        if hasattr(config, "workeroutput"):
            config.workeroutput["left_out"] = len(left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the number over from a worker; all have the same."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how many tests were left out."""
    if number := config.stash.get(LEFT_OUT, 0):
        line = f"left out: {number} tests that need pymilter or a server program (./dev test)"
        terminalreporter.write_line(line)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what cannot even be imported here, or what the installed Dovecot has no part in.

    `./dev check` runs where neither pymilter nor Dovecot is; these files hold nothing for it.
    """
    if collection_path.name in OF_DOVECOT_2_3:
        try:
            return True if release() != "2.3" else None
        except programs.Missing:
            return True
    if find_spec("Milter") is None and collection_path.suffix == ".py":
        text = collection_path.read_text("utf-8")
        return True if _IMPORTS_PYMILTER.search(text) else None
    return None


def settings_for(url: str, **tables: object) -> Settings:
    """Return settings of a small site with the store at *url*."""
    base: dict[str, object] = {
        "site": {"domains": ["mail.example.edu", "example.edu"]},
        "store": {"url": url},
    }
    return Settings.model_validate({**base, **tables})


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the URL of an empty SQLite database; tests/store has all kinds."""
    return f"sqlite:///{tmp_path}/gatepost.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Return a store with its tables."""
    made = Store(url)
    schema.upgrade(made)
    yield made
    made.close()


@pytest.fixture
def settings(url: str) -> Settings:
    """Return settings with the store of `store`."""
    return settings_for(url)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Postgres]:
    """Return a private PostgreSQL, up for the whole run."""
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[mariadb.MariaDB]:
    """Return a private MariaDB, up for the whole run."""
    with mariadb.running() as server:
        yield server
