"""Fields of another server: which an import keeps, and the notes on the others."""

import pytest

from config.settings import Settings
from store.engine import Store
from store.errors import Refused
from store.logins.credentials import credentials
from store.people import accounts, view
from store.people.accounts import NewAccount
from store.registrar import plan, write
from store.registrar.csv_file import csv_lines
from store.registrar.passwd_file import dovecot_lines, passwd_lines, shadow_entries
from store.registrar.plan import ImportPlan
from store.registrar.roles import read_roles
from tests.conftest import CHANGE

HASH = "{SSHA512}" + "A" * 88
GIB = 1 << 30


def planned(
    store: Store, settings: Settings, *extra: str, accept_loss: bool = False, refresh: bool = False
) -> ImportPlan:
    lines = dovecot_lines([f"dean:{HASH}:{each}\n" for each in extra])
    return plan.plan(store, settings, lines, role="staff", accept_loss=accept_loss, refresh=refresh)


@pytest.mark.parametrize(
    ("field", "size"),
    [
        ("userdb_quota_rule=*:storage=20G", 20 * GIB),
        ("userdb_quota_rule=*:storage=20971520", 20 * GIB),
        ("userdb_quota_rule=*:bytes=21474836480", 20 * GIB),
        ("userdb_quota_rule=*:storage=0", 0),
        ("userdb_quota_storage_size=20G", 20 * GIB),
        ("userdb_quota_storage_size=20GB", 20 * GIB),
        ("userdb_quota_storage_size=unlimited", 0),
        ("userdb_quota_rule=*:storage=5G", None),  # as the role has it
        ("", None),
    ],
)
def test_a_quota_becomes_the_mailbox_size_of_the_account(
    store: Store, settings: Settings, field: str, size: int | None
) -> None:
    todo = planned(store, settings, f":::::{field}")
    write.carry_out(store, todo, change=CHANGE)
    assert view.get(store, settings, "dean").mailbox == size
    assert [note.field for note in todo.notes] == ([] if size is None else ["quota"])


def test_nologin_becomes_a_suspension_with_its_reason(store: Store, settings: Settings) -> None:
    todo = planned(store, settings, ":::::nologin reason=retired")
    write.carry_out(store, todo, change=CHANGE)
    (stop,) = view.get(store, settings, "dean").suspended
    assert stop.scope == "everything"
    assert "retired" in stop.reason
    found = credentials(store, settings, "dean")
    assert found
    assert found.suspended("everything")
    assert [note.field for note in todo.notes] == ["nologin"]


@pytest.mark.parametrize(
    ("fields", "field", "value"),
    [
        (":::/home/dean::", "home", "/home/dean"),
        ("1001:1001::::", "uid:gid", "1001:1001"),
        (":0::::", "uid:gid", ":0"),
        ("nobody:::::", "uid:gid", "nobody:"),
        (":::::userdb_mail=mbox:~/mail", "userdb_mail", "mbox:~/mail"),
        (":::::userdb_mail_path=/old/dean", "userdb_mail_path", "/old/dean"),
        (":::::allow_nets=192.0.2.0/24,::1", "allow_nets", "192.0.2.0/24,::1"),
    ],
)
def test_a_line_with_a_grave_field_needs_accept_loss(
    store: Store, settings: Settings, fields: str, field: str, value: str
) -> None:
    todo = planned(store, settings, fields)
    (refused,) = todo.refused
    assert f"{field} {value}: " in refused.reason
    assert "--accept-loss" in refused.reason
    with pytest.raises(Refused):
        write.carry_out(store, todo, change=CHANGE)
    todo = planned(store, settings, fields, accept_loss=True)
    assert [(note.field, note.value, note.grave) for note in todo.notes] == [(field, value, True)]
    assert write.carry_out(store, todo, change=CHANGE).added == 1


def test_other_fields_are_noted_without_secrets(store: Store, settings: Settings) -> None:
    extra = "userdb_quota_rule=*:storage=5G:messages=9 userdb_quota_rule2=Trash:storage=+100M"
    todo = planned(store, settings, f":::::{extra} proxy_pass=canary nodelay")
    assert [(note.field, note.value) for note in todo.notes] == [
        ("userdb_quota_rule", "messages=9"),
        ("userdb_quota_rule2", "Trash:storage=+100M"),
        ("proxy_pass", "(not shown)"),
        ("nodelay", ""),
    ]
    assert "canary" not in repr(todo)


def test_a_home_and_owner_as_in_the_settings_need_no_note(store: Store, settings: Settings) -> None:
    todo = planned(store, settings, "5000:5000::/var/vmail/dean/::")
    assert (todo.notes, todo.refused, len(todo.new)) == ([], [], 1)


def test_homes_owners_and_expiry_dates_of_passwd_need_accept_loss(
    store: Store, settings: Settings
) -> None:
    passwd = ["dean:x:1001:1001::/home/dean:/usr/sbin/nologin\n"]
    shadow = shadow_entries(["dean:$6$salt$abc:1:0:9:7::20000:\n"])
    refused = plan.plan(store, settings, passwd_lines(passwd, shadow), role="staff")
    for word in ("home /home/dean", "uid:gid 1001:1001", "expires 2024-10-04"):
        assert word in refused.refused[0].reason
    todo = plan.plan(store, settings, passwd_lines(passwd, shadow), role="staff", accept_loss=True)
    assert [note.field for note in todo.notes] == ["home", "uid:gid", "shell", "expires"]


def test_a_refresh_notes_the_fields_it_ignores(store: Store, settings: Settings) -> None:
    new = NewAccount("dean", "staff", password=HASH, aliases=("d",))
    accounts.add(store, settings, new, change=CHANGE)
    todo = planned(store, settings, ":::/home/dean::userdb_quota_rule=*:storage=20G", refresh=True)
    assert [note.field for note in todo.notes] == ["quota"]
    lines = ["name,mailbox,attachments,suspended_sending,aliases\n", "dean,1G,,- x,d e\n"]
    todo = plan.plan(store, settings, csv_lines(lines), refresh=True)
    assert [(note.field, note.value) for note in todo.notes] == [
        ("mailbox", "1G"),
        ("suspended_sending", "x"),
        ("aliases", "e"),
    ]


@pytest.mark.parametrize(("size", "noted"), [("20G", ["quota"]), ("5G", [])])
def test_a_refresh_compares_the_quota_in_force(
    store: Store, settings: Settings, size: str, noted: list[str]
) -> None:
    accounts.add(store, settings, NewAccount("dean", "staff"), change=CHANGE)
    ended = {"mailbox": 20 * GIB, "mailbox_until": 1}
    accounts.set_fields(store, settings, "dean", fields=ended, change=CHANGE)
    todo = planned(store, settings, f":::::userdb_quota_rule=*:storage={size}", refresh=True)
    assert [note.field for note in todo.notes] == noted


def test_a_roles_file_gives_each_name_its_role(store: Store, settings: Settings) -> None:
    roles = read_roles(
        settings,
        [
            "# role by name\n",
            "Dean Staff\n",
            "s1@mail.example.edu,student # new\n",
            "\n",
            "x:alumni\n",
        ],
    )
    lines = list(dovecot_lines([f"{name}:{HASH}\n" for name in ("dean", "s1", "else")]))
    todo = plan.plan(store, settings, lines, role="alumni", roles=roles)
    assert [(line.name, line.role) for line in todo.new] == [
        ("dean", "staff"),
        ("s1", "student"),
        ("else", "alumni"),
    ]
    assert todo.roles_left == ["x"]


@pytest.mark.parametrize("line", ["dean", "dean king", "dean staff x", "dean staff\ndean student"])
def test_an_invalid_roles_file_is_refused_with_the_line(settings: Settings, line: str) -> None:
    lines = line.splitlines()
    with pytest.raises(Refused, match=f"line {len(lines)}: "):
        read_roles(settings, lines)
