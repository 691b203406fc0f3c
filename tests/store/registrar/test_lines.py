"""Parsing the lines of every import format."""

import contextlib
import io
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.people.view import ActiveSuspension
from store.registrar.csv_file import csv_lines
from store.registrar.lines import HeaderError, Line, Refusal, Skipped
from store.registrar.passwd_file import Shadow, dovecot_lines, passwd_lines, shadow_entries

SHA = "{SSHA512}" + "A" * 88


def read(text: str) -> list[Line | Refusal]:
    return list(csv_lines(io.StringIO(text, newline="")))


def reasons(found: Iterable[Line | Refusal | Skipped]) -> list[str]:
    return [each.reason for each in found if isinstance(each, Refusal)]


def bare(found: Iterable[Line | Refusal | Skipped]) -> list[tuple[int, str, str | None]]:
    return [(each.number, each.name, each.password) for each in found if isinstance(each, Line)]


def test_a_csv_line_has_the_values_of_its_columns() -> None:
    text = (
        "role,name,condition,second_mailbox,aliases,identity,password_hash\r\n"
        'student, s1234567 ,resumption,x@example.org,"a.b c",AB 123,\r\n'
        "\r\n"
        f"staff,prof,,,,,{SHA}\r\n"
    )
    assert read(text) == [
        Line(
            2,
            "s1234567",
            "student",
            "resumption",
            "x@example.org",
            ("a.b", "c"),
            identity="AB 123",
        ),
        Line(4, "prof", "staff", password=SHA),
    ]


def test_columns_may_be_missing_or_in_capitals() -> None:
    assert read("NAME\nalice\n") == [Line(2, "alice")]


@pytest.mark.parametrize(
    "header", ["", "role\n", "name,nonsense\n", "name,name\n", "alice,staff\n", 'name,"ro\nle\n']
)
def test_a_header_that_names_no_columns_stops_the_file(header: str) -> None:
    with pytest.raises(HeaderError, match="line 1"):
        read(header + "x,y\n")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("alice", "1 values, but the first line names 3 columns"),
        ("alice,1,2,3", "4 values"),
        ("alice,,{OTP}x", "password hash"),
        ("alice,,secret", "password hash"),
        ("alice,,{PLAIN}gar\udce7on", "not UTF-8"),
        (
            f"alice,AB123,{SHA}",
            "exclude",
        ),
        ('alice,"x"y,', "a closing quotation mark"),
    ],
)
def test_an_unreadable_line_stops_no_other(line: str, reason: str) -> None:
    found = read(f"name,identity,password_hash\n{line}\nbob,,\n")
    assert reason in reasons(found)[0]
    assert found[-1] == Line(3, "bob")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("initial", "perhaps"),
        ("suspended_sending", "2027-01-31"),
        ("suspended_everything", "tomorrow phished"),
        ("mailbox", "much"),
        ("mailbox", "999999999999T"),
        ("attachments_until", "2027-01-31"),
        ("send", "many"),
    ],
)
def test_an_invalid_suspension_or_override_is_refused(column: str, value: str) -> None:
    (refused,) = read(f"name,{column}\nalice,{value}\n")
    assert isinstance(refused, Refusal)


def test_suspensions_and_overrides_are_read_from_their_columns() -> None:
    columns = "name,suspended_sending,mailbox,mailbox_until,send"
    (line,) = read(f"{columns}\na,- phished,1G,2027-01-15T08:00,unlimited\n")
    assert isinstance(line, Line)
    assert line.extras.suspended == (ActiveSuspension("sending", "phished", 0, None),)
    assert line.extras.overrides == {
        "mailbox": 1 << 30,
        "mailbox_until": 1_800_000_000,
        "send": "",
        "send_until": None,
    }


def test_passwd_lines_get_their_hashes_from_shadow() -> None:
    passwd = [
        "# a comment\n",
        "root:x:0:0:root:/root:/bin/bash\n",
        "alice:x:1000:1000:Alice:/home/alice:/bin/bash\n",
        "bob:$6$salt$abc:1001:1001::/home/bob:/bin/sh\n",
        "carol:x:1002:1002::/home/carol:/bin/sh\n",
        "dave:x:1003:1003::/home/dave:/bin/sh\n",
        "nobody:x:65534:65534::/:/bin/false\n",
        "broken:x:1\n",
    ]
    shadow = shadow_entries(["alice:$y$j9T$a$b:1:0:9:7:::\n", "carol:!$6$x$y:1::::::\n", "odd\n"])
    found = list(passwd_lines(passwd, shadow))
    assert bare(found) == [
        (3, "alice", "{CRYPT}$y$j9T$a$b"),
        (4, "bob", "{CRYPT}$6$salt$abc"),
        (5, "carol", None),  # locked: no password
        (6, "dave", None),  # not in shadow
    ]
    assert reasons(found) == ["not a line of passwd(5), which has 7 fields"]
    assert [each for each in found if isinstance(each, Skipped)] == [
        Skipped(2, "root", "user id 0 is a system account's"),
        Skipped(7, "nobody", "user id 65534 is a system account's"),
    ]


def test_a_mail_user_needs_no_shell_and_system_user_ids_are_skipped() -> None:
    passwd = [
        "mailonly:x:1000:1000::/:/usr/sbin/nologin\n",
        "service:x:1001:1001::/:/bin/false\n",
        "locked:x:1002:1002::/home/locked:/bin/bash\n",
        "directory:x:70001:1::/home/directory:/bin/bash\n",
    ]
    hashes = {"mailonly": "$y$j9T$a$b", "locked": "!", "service": "*"}
    shadow = {name: Shadow(stored) for name, stored in hashes.items()}
    found = list(passwd_lines(passwd, shadow))
    assert [type(each) for each in found] == [Line, Skipped, Line, Line]


def test_a_dovecot_passwd_file_yields_names_and_hashes() -> None:
    found = list(
        dovecot_lines(
            [
                f"alice@mail.example.edu:{SHA}:5000:5000::/var/vmail/alice::x=y\n",
                "bob:$6$salt$abc\n",
                "carol:\n",
                "dave\n",
                "erin:{OTP}x\n",
            ]
        )
    )
    assert bare(found) == [
        (1, "alice@mail.example.edu", SHA),
        (2, "bob", "{CRYPT}$6$salt$abc"),
        (3, "carol", None),
    ]
    assert len(reasons(found)) == 2


def test_a_line_never_shows_its_secrets() -> None:
    shown = repr(Line(1, "alice", identity="canary", password="canary"))
    assert "canary" not in shown


@given(st.text(max_size=300))
def test_hostile_text_only_ever_raises_header_error(text: str) -> None:
    with contextlib.suppress(HeaderError):
        read("name,role\n" + text)
        read(text)
    lines = text.splitlines(keepends=True)
    assert all(isinstance(each, Line | Refusal | Skipped) for each in passwd_lines(lines))
    assert all(isinstance(each, Line | Refusal) for each in dovecot_lines(lines))


@pytest.mark.parametrize(
    "stored",
    [
        "{BLF-CRYPT}nonsense",
        "{BLF-CRYPT}$2y$14$" + "." * 53,
        "{ARGON2ID}x",
        "{CRYPT}$9$salt$x",
        "{SSHA512}AAAA",
        "{PBKDF2}x",
    ],
)
def test_an_unverifiable_hash_in_a_line_is_refused(stored: str) -> None:
    (refused,) = csv_lines(["name,password_hash\n", f"alice,{stored}\n"])
    assert isinstance(refused, Refusal)
    assert refused.reason.startswith("password hash: ")
