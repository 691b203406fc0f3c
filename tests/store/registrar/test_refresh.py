"""Importing a file over existing accounts, on every database."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from config.settings import Settings
from store import bulk
from store.audit import entries
from store.engine import Store
from store.errors import Refused
from store.logins.credentials import credentials
from store.people import accounts, graduation, notices, view
from store.people.accounts import NewAccount
from store.people.graduation_plan import GRACE_SECONDS
from store.registrar import plan, write
from store.registrar.csv_file import csv_lines
from store.registrar.lines import Line, Refusal, Skipped
from store.registrar.passwd_file import dovecot_lines, passwd_lines
from store.registrar.write import ImportResult
from tests.conftest import CHANGE

NOW = 1_800_000_000
MIB = 1 << 20
KEY = bytes(32)
HELD: dict[str, int | None] = {"light": 10 * MIB, "heavy": 80 * MIB, "hidden": None}


def students(store: Store, settings: Settings, *names: str) -> None:
    for name in names:
        accounts.add(store, settings, NewAccount(name, "student"), change=CHANGE, now=NOW)


def refresh(
    store: Store, settings: Settings, *lines: Line, keep_going: bool = False
) -> ImportResult:
    todo = plan.plan(store, settings, lines, refresh=True, measure=HELD.get, now=NOW)
    progress_steps: list[int] = []
    done = write.carry_out(
        store,
        todo,
        change=CHANGE,
        key=KEY,
        keep_going=keep_going,
        progress=progress_steps.append,
        now=NOW,
    )
    assert sum(progress_steps) == todo.steps
    return done


def test_a_role_with_a_smaller_quota_is_a_graduation(store: Store, settings: Settings) -> None:
    students(store, settings, *HELD)
    lines = [Line(n, name, "alumni", "graduated") for n, name in enumerate(HELD)]
    assert refresh(store, settings, *lines) == ImportResult(changed=3, graduated=3)
    for name, until in (("light", None), ("heavy", NOW + GRACE_SECONDS)):
        shown = view.get(store, settings, name)
        assert (shown.role, shown.condition, shown.mailbox_until) == ("alumni", "graduated", until)
    assert view.get(store, settings, "hidden").mailbox == 500 * MIB
    assert notices.count(store) == 3
    graduation.undo(store, settings, ["heavy"], change=CHANGE, now=NOW)
    assert view.get(store, settings, "heavy").role == "student"


def test_a_graduation_written_in_batches_happens_once(store: Store, settings: Settings) -> None:
    students(store, settings, "light", "heavy")
    lines = [Line(n, name, "alumni") for n, name in enumerate(("light", "heavy", "light"))]
    assert refresh(store, settings, *lines, keep_going=True) == ImportResult(graduated=2)
    assert notices.count(store) == 2


def test_a_plan_names_the_accounts_that_would_exceed_their_quota(
    store: Store, settings: Settings
) -> None:
    students(store, settings, "heavy")
    lines = [Line(2, "heavy", "alumni")]
    todo = plan.plan(store, settings, lines, refresh=True, measure=HELD.get, now=NOW)
    assert [each.name for each in todo.graduates if each.is_over] == ["heavy"]
    assert (todo.changed, todo.unchanged) == ([], 0)
    assert view.get(store, settings, "heavy").role == "student"


def test_a_role_with_a_larger_quota_is_no_graduation(store: Store, settings: Settings) -> None:
    students(store, settings, "heavy")
    assert refresh(store, settings, Line(2, "heavy", "staff")) == ImportResult(changed=1)
    assert notices.count(store) == 0


def test_a_permanent_mailbox_override_outlasts_a_new_role(store: Store, settings: Settings) -> None:
    students(store, settings, "heavy")
    own = {"mailbox": 700 * MIB, "mailbox_until": None}
    accounts.set_fields(store, settings, "heavy", fields=own, change=CHANGE)
    assert refresh(store, settings, Line(2, "heavy", "alumni")) == ImportResult(changed=1)
    shown = view.get(store, settings, "heavy")
    assert (shown.role, shown.mailbox) == ("alumni", 700 * MIB)


def test_an_account_removed_since_the_plan_is_not_changed_or_counted(
    store: Store, settings: Settings
) -> None:
    students(store, settings, "alice", "bob")
    lines = [Line(2, "alice", condition="leave"), Line(3, "bob", condition="leave")]
    todo = plan.plan(store, settings, lines, refresh=True)
    accounts.remove(store, settings, "alice", change=CHANGE)
    assert write.carry_out(store, todo, change=CHANGE) == ImportResult(changed=1)
    assert entries(store, subject="alice")[0].action == "account.remove"
    assert view.get(store, settings, "bob").condition == "leave"


def test_each_line_changes_only_the_columns_it_sets(store: Store, settings: Settings) -> None:
    students(store, settings, "a", "b", "c")
    outside = "x@example.org"
    lines = [
        Line(2, "a", condition="leave"),
        Line(3, "b", second_mailbox=outside),
        Line(4, "c", condition="leave", second_mailbox=outside),
    ]
    assert refresh(store, settings, *lines).changed == 3
    shown = [view.get(store, settings, name) for name in "abc"]
    assert [each.condition for each in shown] == ["leave", "normal", "leave"]
    assert [each.second_mailbox for each in shown] == [None, outside, outside]


def test_a_missing_identity_is_filled_in_and_a_known_one_is_kept(
    store: Store, settings: Settings
) -> None:
    students(store, settings, "alice")
    new = NewAccount("bob", "student", identity="known", password="{PLAIN}x")
    accounts.add(store, settings, new, change=CHANGE)
    lines = [Line(2, "alice", identity="a 123"), Line(3, "bob", identity="B456")]
    todo = plan.plan(store, settings, lines, refresh=True)
    assert todo.needs_key
    assert (len(todo.changed), todo.unchanged) == (1, 1)
    assert "123" not in repr(todo)
    write.carry_out(store, todo, change=CHANGE, key=KEY)
    alice = view.get(store, settings, "alice")
    assert (alice.has_identity, alice.has_password, alice.initial) == (True, False, False)
    assert entries(store, subject="alice")[0].detail == {"identity": "on file"}
    found = credentials(store, settings, "bob")
    assert found
    assert found.password == "{PLAIN}x"


def test_a_name_taken_between_plan_and_write_is_refused(store: Store, settings: Settings) -> None:
    lines = [Line(n, f"s{n}", "student", aliases=(f"a{n}",)) for n in range(2, 6)]
    todo = plan.plan(store, settings, lines)
    accounts.add(store, settings, NewAccount("alice", "staff", aliases=("s3", "a5")), change=CHANGE)
    done = write.carry_out(store, todo, change=CHANGE, keep_going=True)
    assert done.added == 2
    assert [(each.number, each.reason) for each in done.refused] == [
        (3, "s3 was taken in the meantime"),
        (5, "a5 was taken in the meantime"),
    ]
    assert [each.name for each in view.list_accounts(store)] == ["alice", "s2", "s4"]


READERS: dict[str, Callable[[list[str]], Iterable[Line | Refusal | Skipped]]] = {
    "csv": lambda names: csv_lines(["name\n", *(f"{name}\n" for name in names)]),
    "dovecot": lambda names: dovecot_lines([f"{name}:*\n" for name in names]),
    "passwd": lambda names: passwd_lines(
        [f"{n}:*:5000:5000::/var/vmail/{n}:/bin/sh\n" for n in names]
    ),
}


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("between", [0, bulk.BATCH + 1])
def test_a_second_line_for_an_account_is_refused_in_every_format(
    store: Store, settings: Settings, form: str, exists: bool, between: int
) -> None:
    if exists:
        students(store, settings, "alice")
    names = ["alice", *(f"s{number}" for number in range(between)), "Alice@mail.example.edu"]
    lines = [each for each in READERS[form](names) if isinstance(each, Line)]
    assert len(lines) == between + 2
    todo = plan.plan(store, settings, lines, role="student", refresh=True, now=NOW)
    (refused,) = todo.refused
    assert (refused.number, refused.name) == (lines[-1].number, "Alice@mail.example.edu")
    assert f"already in line {lines[0].number}" in refused.reason


def test_a_later_line_never_reverts_a_graduation(store: Store, settings: Settings) -> None:
    students(store, settings, "m1", "m2")
    file = Path(__file__).parents[2] / "cases/files/refresh-dup-min.csv"
    lines = list(csv_lines(file.read_text().splitlines(keepends=True)))
    todo = plan.plan(store, settings, lines, refresh=True, measure=HELD.get, now=NOW)
    assert [each.number for each in todo.refused] == [3, 5]
    with pytest.raises(Refused):
        write.carry_out(store, todo, change=CHANGE, now=NOW)
    assert {view.role for view in view.list_accounts(store)} == {"student"}
    done = write.carry_out(store, todo, change=CHANGE, keep_going=True, now=NOW)
    assert (done.changed, done.graduated) == (1, 1)
    assert view.get(store, settings, "m1").role == "staff"


def test_role_and_condition_are_case_insensitive(store: Store, settings: Settings) -> None:
    students(store, settings, "alice")
    todo = plan.plan(store, settings, [Line(2, "alice", "Student", "Normal")], refresh=True)
    assert (todo.refused, todo.unchanged) == ([], 1)
