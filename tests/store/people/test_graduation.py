"""Graduates become alumni and lose nothing (R7), on every database."""

import time
from typing import cast

import pytest
from sqlalchemy import QueuePool

from config.settings import Settings
from store.audit import entries
from store.engine import Store
from store.errors import Refused
from store.memory.directory import Directory
from store.people import accounts, graduation, graduation_plan, notices, view
from store.people.accounts import NewAccount
from store.people.graduation_plan import GRACE_SECONDS, GraduationPlan
from store.registrar import plan, write
from store.registrar.lines import Line
from tests.conftest import CHANGE

NOW = 1_800_000_000
MIB = 1 << 20
HELD: dict[str, int | None] = {"light": 10 * MIB, "heavy": 80 * MIB, "hidden": None}


@pytest.fixture
def students(store: Store, settings: Settings) -> None:
    for name in HELD:
        accounts.add(store, settings, NewAccount(name, "student"), change=CHANGE, now=NOW)


def plan_for(store: Store, settings: Settings, *names: str) -> GraduationPlan:
    return graduation_plan.plan(store, settings, names or tuple(HELD), measure=HELD.get, now=NOW)


def graduate(store: Store, settings: Settings, *names: str) -> int:
    todo = plan_for(store, settings, *names)
    return graduation.carry_out(store, settings, todo, change=CHANGE, now=NOW)


@pytest.mark.usefixtures("students")
def test_a_plan_names_accounts_over_quota_and_changes_nothing(
    store: Store, settings: Settings
) -> None:
    todo = plan_for(store, settings, "light", "heavy", "hidden", "nobody")
    assert [each.name for each in todo.over] == ["heavy"]
    assert [each.name for each in todo.unmeasured] == ["hidden"]
    assert todo.refused == (("nobody", "no account 'nobody'"),)
    light, heavy, hidden = todo.graduates
    assert (light.old_quota, light.new_quota, light.keeps_until) == (500 * MIB, 50 * MIB, None)
    assert heavy.keeps_until == hidden.keeps_until == NOW + GRACE_SECONDS
    assert view.get(store, settings, "heavy").role == "student"
    assert notices.count(store) == 0


@pytest.mark.usefixtures("students")
def test_role_quota_and_limits_change_in_one_step(store: Store, settings: Settings) -> None:
    directory = Directory(store, settings)
    directory.refresh()
    assert graduate(store, settings) == 3
    directory.refresh()
    light, heavy = directory.person("light"), directory.person("heavy")
    assert light
    assert heavy
    assert light.role == heavy.role == "alumni"
    assert light.attachments(NOW) == 10 * MIB
    assert light.mailbox(NOW) == 50 * MIB
    assert heavy.mailbox(NOW) == 500 * MIB  # the old quota, until the grace ends
    assert heavy.mailbox(NOW + GRACE_SECONDS - 1) == 500 * MIB
    assert heavy.mailbox(NOW + GRACE_SECONDS) == 50 * MIB
    assert next(e.action for e in entries(store, subject="heavy")) == "account.graduate"


@pytest.mark.usefixtures("students")
def test_graduating_again_changes_nothing(store: Store, settings: Settings) -> None:
    todo = plan_for(store, settings)
    assert graduation.carry_out(store, settings, todo, change=CHANGE, now=NOW) == 3
    assert graduation.carry_out(store, settings, todo, change=CHANGE, now=NOW) == 0
    again = plan_for(store, settings)
    assert (again.graduates, set(again.already)) == ((), set(HELD))


@pytest.mark.usefixtures("students")
def test_every_graduate_gets_a_notice_with_the_end_of_the_grace_period(
    store: Store, settings: Settings
) -> None:
    graduate(store, settings)
    texts = {each.recipient: each.text for each in notices.list_waiting(store)}
    assert set(texts) == {f"{name}@mail.example.edu" for name in HELD}
    assert "50 MiB" in texts["light@mail.example.edu"]
    assert "Until" not in texts["light@mail.example.edu"]
    assert "Until 2027-04-15" in texts["heavy@mail.example.edu"]
    assert "80 MiB" in texts["heavy@mail.example.edu"]


@pytest.mark.usefixtures("students")
def test_undo_restores_role_and_quota(store: Store, settings: Settings) -> None:
    accounts.set_fields(
        store,
        settings,
        "heavy",
        fields={"mailbox": 700 * MIB, "mailbox_until": NOW + 5},
        change=CHANGE,
        now=NOW,
    )
    graduate(store, settings)
    undone = graduation.undo(store, settings, ["heavy", "Light"], change=CHANGE, now=NOW + 1)
    assert undone == ["heavy", "light"]
    heavy = view.get(store, settings, "heavy")
    assert (heavy.role, heavy.mailbox, heavy.mailbox_until) == ("student", 700 * MIB, NOW + 5)
    assert [each.recipient for each in notices.list_waiting(store)] == ["hidden@mail.example.edu"]


@pytest.mark.usefixtures("students")
def test_a_mailbox_override_ends_and_the_audit_log_keeps_it(
    store: Store, settings: Settings
) -> None:
    own = {"mailbox": 700 * MIB, "mailbox_until": None}
    accounts.set_fields(store, settings, "light", fields=own, change=CHANGE, now=NOW)
    over = {"mailbox": 900 * MIB, "mailbox_until": NOW}
    accounts.set_fields(store, settings, "heavy", fields=over, change=CHANGE, now=NOW)
    light, heavy = plan_for(store, settings, "light", "heavy").graduates
    assert (light.own, heavy.own) == (700 * MIB, None)
    graduate(store, settings, "light")
    assert view.get(store, settings, "light").mailbox is None
    assert entries(store, subject="light")[0].detail["own_mailbox"] == 700 * MIB


@pytest.mark.usefixtures("students")
def test_a_name_given_twice_is_one_account(store: Store, settings: Settings) -> None:
    assert len(plan_for(store, settings, "light", "Light", "light+x").graduates) == 1
    graduate(store, settings, "light")
    twice = ["light", "LIGHT"]
    assert graduation.undo(store, settings, twice, change=CHANGE, now=NOW) == ["light"]


@pytest.mark.usefixtures("students")
def test_mailboxes_are_measured_without_a_database_connection(
    store: Store, settings: Settings
) -> None:
    def held(_: str) -> int:
        return cast(QueuePool, store.engine.pool).checkedout()

    todo = graduation_plan.plan(store, settings, tuple(HELD), measure=held, now=NOW)
    assert {each.used for each in todo.graduates} == {0}


@pytest.mark.usefixtures("students")
def test_only_a_graduating_student_is_told_of_graduation(store: Store, settings: Settings) -> None:
    accounts.set_fields(store, settings, "light", fields={"role": "staff"}, change=CHANGE)
    graduate(store, settings, "light")
    (notice,) = notices.list_waiting(store)
    assert "graduat" not in notice.subject + notice.text
    assert "changed from staff to alumni" in notice.text


@pytest.mark.usefixtures("students")
def test_undo_is_refused_as_a_whole_if_one_account_never_graduated(
    store: Store, settings: Settings
) -> None:
    graduate(store, settings, "heavy")
    with pytest.raises(Refused, match="light has not graduated"):
        graduation.undo(store, settings, ["heavy", "light"], change=CHANGE)
    assert view.get(store, settings, "heavy").role == "alumni"
    graduation.undo(store, settings, ["heavy"], change=CHANGE)
    with pytest.raises(Refused):
        graduation.undo(store, settings, ["heavy"], change=CHANGE)


@pytest.mark.usefixtures("students")
def test_undo_is_refused_after_a_later_change_of_role(store: Store, settings: Settings) -> None:
    graduate(store, settings, "light")
    accounts.set_fields(store, settings, "light", fields={"role": "staff"}, change=CHANGE)
    with pytest.raises(Refused, match="light has since become staff"):
        graduation.undo(store, settings, ["light"], change=CHANGE)
    assert view.get(store, settings, "light").role == "staff"


def test_a_cohort_is_the_students_of_a_prefix(store: Store, settings: Settings) -> None:
    for name, role in (("s2301", "student"), ("s2302", "student"), ("s2303", "staff")):
        accounts.add(store, settings, NewAccount(name, role), change=CHANGE)
    accounts.add(store, settings, NewAccount("s2401", "student"), change=CHANGE)
    assert graduation_plan.cohort(store, "S23") == ["s2301", "s2302"]
    assert graduation_plan.cohort(store, "%") == []
    with pytest.raises(Refused, match="every account"):
        graduation_plan.cohort(store, "")


def test_graduating_to_an_unknown_role_is_refused(store: Store, settings: Settings) -> None:
    with pytest.raises(Refused, match="no role 'king'"):
        graduation_plan.plan(store, settings, [], measure=HELD.get, role="king")


def test_a_notice_is_delivered_once(store: Store, settings: Settings) -> None:
    accounts.add(store, settings, NewAccount("light", "student"), change=CHANGE)
    graduate(store, settings, "light")
    seen: list[str] = []
    assert notices.send(store, lambda each: seen.append(each.recipient)) == 1
    assert notices.send(store, lambda each: seen.append(each.recipient)) == 0
    assert seen == ["light@mail.example.edu"]


def test_a_notice_that_cannot_be_sent_keeps_waiting(store: Store, settings: Settings) -> None:
    def broken(_: notices.WaitingNotice) -> None:
        raise ConnectionError

    accounts.add(store, settings, NewAccount("light", "student"), change=CHANGE)
    graduate(store, settings, "light")
    with pytest.raises(ConnectionError):
        notices.send(store, broken)
    assert notices.count(store) == 1


def test_five_thousand_graduate_within_seconds(store: Store, settings: Settings) -> None:
    lines = (Line(n, f"s{n:07}", "student") for n in range(5000))
    write.carry_out(store, plan.plan(store, settings, lines), change=CHANGE)
    began = time.monotonic()
    todo = graduation_plan.plan(
        store, settings, graduation_plan.cohort(store, "s"), measure=lambda _: 80 * MIB, now=NOW
    )
    assert graduation.carry_out(store, settings, todo, change=CHANGE, now=NOW) == 5000
    assert time.monotonic() - began < 30
    assert notices.count(store) == 5000
