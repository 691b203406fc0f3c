"""One private mail server for all tests of this folder, and its logs when one fails.

Tests share the server, never people, client addresses or subjects, so they may
run in any order.
"""

import itertools
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import pytest

from tests.stack.stack import Account, Stack

# Lines that mean a fault of ours or of the configuration, in any log.
_FAULT = re.compile(
    r"^.*(Traceback|\bERROR\b|fatal:|panic:|auth: Error"
    # Postfix warns of wrong passwords too, which are no fault.
    r"|: warning: (?!\S+\[[\d.]+\]: SASL)).*$",
    re.MULTILINE,
)
_READ = pytest.StashKey[Callable[[], str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs servers, which is all of this folder."""
    for item in items:
        if "tests/integration/" in item.path.as_posix():
            item.add_marker(pytest.mark.integration)


@dataclass(frozen=True, slots=True)
class People:
    """One account of each shipped role, for tests that use up nothing of them."""

    staff: Account
    student: Account
    alumni: Account


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Return the running server."""
    with Stack() as running:
        yield running


@pytest.fixture(scope="session")
def people(stack: Stack) -> People:
    """Return the three shared accounts, when every service knows them."""
    people = People(*(stack.add_account(role) for role in ("staff", "student", "alumni")))
    stack.settle()
    return people


_numbers = itertools.count(1)


@pytest.fixture
def subject() -> str:
    """Return a subject no other test uses."""
    return f"lecture-{next(_numbers)}."


@pytest.fixture
def trouble() -> None:
    """Ask for this fixture where a test makes faults appear in the logs."""


@pytest.fixture(autouse=True)
def quiet_logs(request: pytest.FixtureRequest, stack: Stack) -> Iterator[None]:
    """Fail a test in whose time a server logged a fault, whatever the clients saw."""
    read = request.node.stash[_READ] = new_lines(stack)
    yield
    found = _FAULT.search(read())
    if found and "trouble" not in request.fixturenames:
        pytest.fail(f"a server logged a fault: {found[0]}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the servers logged meanwhile to the report of a failed test."""
    report = yield
    read = item.stash.get(_READ, None)
    if report.failed and read:
        report.sections.append(("what the servers logged", read()))
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Stack) and name != "stack":
                report.sections.append((f"what the servers of {name} logged", value.logs(100)))
    return report


def new_lines(stack: Stack) -> Callable[[], str]:
    """Return a function that gives what all logs have gained since now."""
    folder = stack.layout.log
    start = {path: path.stat().st_size for path in folder.iterdir()}

    def read() -> str:
        gained = {
            path.name: path.read_bytes()[start.get(path, 0) :].decode("utf-8", "replace")
            for path in sorted(folder.iterdir())
        }
        return "\n".join(f"──── {name}\n{text}" for name, text in gained.items() if text)

    return read
