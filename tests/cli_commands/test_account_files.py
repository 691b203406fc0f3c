"""Imports, exports and graduations as an operator types them."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli_commands.conftest import Run

HASH = "{SSHA512}" + "A" * 88
CSV = f"""\
name,role,condition,second_mailbox,aliases,password_hash
s2301,student,normal,a@example.org,jane.doe,{HASH}
s2302,student,resumption,,,
"""


@pytest.fixture
def students(tmp_path: Path) -> Path:
    path = tmp_path / "students.csv"
    path.write_text(CSV)
    return path


def test_a_dry_run_reports_and_changes_nothing(run: Run, students: Path) -> None:
    done = run("account", "import", str(students), "--dry-run", "--json")
    assert done.code == 0, done.err
    assert (done.document["added"], done.document["dry_run"]) == (2, True)
    assert run("account", "list", "--json").document == []


def test_an_export_returns_the_imported_accounts(run: Run, students: Path) -> None:
    done = run("account", "import", str(students))
    assert (done.code, done.out) == (0, "2 created, 0 changed, 0 unchanged, 0 refused\n")
    exported = run("account", "export", "--with-hashes")
    fields = [line.split(",") for line in exported.out.splitlines()]
    assert [",".join(line[:6]) for line in fields] == CSV.splitlines()
    assert {"".join(line[6:]) for line in fields[1:]} == {""}
    assert "not in the file: identity numbers" in exported.err
    assert HASH not in run("account", "export").out
    spare = run("account", "export", "--format", "dovecot").out
    assert spare.startswith(f"s2301:{HASH}:5000:5000::/var/vmail/s2301::userdb_quota_rule=")
    newer = run("account", "export", "--format", "dovecot", "--dovecot", "2.4")
    assert "userdb_quota_storage_size=524288000B\n" in newer.out
    assert "suspensions from sending" in newer.err


def test_a_refused_line_is_named_and_nothing_changes(run: Run, students: Path) -> None:
    students.write_text(CSV + "s2303,king,,,,\n")
    done = run("account", "import", str(students))
    assert done.code == 1
    assert "s2303" in done.out
    assert "no role 'king'" in done.out
    assert "nothing was changed" in done.err
    assert run("account", "list", "--json").document == []
    done = run("account", "import", str(students), "--keep-going")
    assert done.code == 1  # a script must notice
    assert len(run("account", "list", "--json").document) == 2


@pytest.mark.parametrize("how", [(), ("--json",)])
def test_a_line_in_another_encoding_is_refused_and_named(
    run: Run, students: Path, how: tuple[str, ...]
) -> None:
    students.write_bytes(CSV.encode() + b"gar\xe7on,student,,,,{PLAIN}gar\xe7on\n")
    done = run("account", "import", str(students), "--keep-going", *how)
    assert done.code == 1
    assert r"gar\udce7on" in done.out
    assert "not UTF-8" in done.out
    assert len(run("account", "list", "--json").document) == 2


def test_a_refresh_updates_the_registrars_fields(run: Run, students: Path) -> None:
    run("account", "import", str(students))
    students.write_text(CSV.replace("resumption", "leave"))
    assert run("account", "import", str(students)).code == 1  # they exist
    done = run("account", "import", str(students), "--refresh", "--json")
    assert (done.document["changed"], done.document["unchanged"]) == (1, 1)
    assert run("account", "show", "s2302", "--json").document["condition"] == "leave"


def test_a_refresh_to_a_smaller_mailbox_graduates_and_says_so(run: Run, students: Path) -> None:
    run("account", "import", str(students))
    students.write_text(CSV.replace("student,normal", "alumni,graduated"))
    words = ("account", "import", str(students), "--refresh")
    planned = run(*words, "--dry-run")
    assert "1 graduated" in planned.out
    assert run("account", "show", "s2301", "--json").document["role"] == "student"
    done = run(*words)
    assert "not measurable" in done.out
    assert "0 created, 1 changed, 1 graduated, 1 unchanged, 0 refused\n" in done.out
    shown = run("account", "show", "s2301", "--json").document
    assert (shown["role"], shown["mailbox"]) == ("alumni", 500 << 20)
    assert shown["mailbox_until"] is not None
    assert run("account", "graduate", "--undo", "s2301").code == 0


def test_passwd_with_shadow_imports_and_a_bad_header_is_refused(run: Run, tmp_path: Path) -> None:
    passwd, shadow = tmp_path / "passwd", tmp_path / "shadow"
    passwd.write_text("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
    shadow.write_text("alice:$y$j9T$salt$hash:1::::::\n")
    words = ("account", "import", str(passwd), "--role", "staff")
    assert run(*words, "--shadow", str(shadow)).code == 2
    assert "line 1 must name the columns" in run(*words).err
    form = ("--accept-loss", "--format", "passwd")
    done = run(*words, *form, "--shadow", str(shadow))
    said = "1 created, 0 changed, 0 unchanged, 1 system accounts skipped, 0 refused\n"
    assert (done.code, done.out.endswith(said)) == (0, True)
    assert run("account", "show", "alice", "--json").document["has_password"]


def test_a_cohort_graduates_and_undo_restores_one_account(run: Run, students: Path) -> None:
    run("account", "import", str(students))
    words = ("account", "graduate", "--cohort", "s23")
    told = run(*words, "--dry-run", "--json").document
    assert (told["graduated"], len(told["unmeasured"])) == (2, 2)
    assert run("account", "list", "--role", "alumni", "--json").document == []
    done = run(*words, "--yes")
    assert done.code == 0
    said = "2 graduate, 0 over the new quota, 2 could not be measured, 0 already had the role\n"
    assert done.out.endswith(said)  # there are no homes on this machine
    assert len(run("account", "list", "--role", "alumni", "--json").document) == 2
    assert run("account", "graduate", "s2301", "--undo").out == "undone: s2301\n"
    assert run("account", "show", "s2301", "--json").document["role"] == "student"


def test_a_cohort_graduates_only_after_confirmation(run: Run, students: Path) -> None:
    run("account", "import", str(students))
    words = ("account", "graduate", "--cohort", "s23")
    asked = run(*words)
    assert asked.code == 1
    assert "2 accounts will graduate" in asked.err
    assert run(*words, stdin="n\n").code == 1
    assert run("account", "list", "--role", "alumni", "--json").document == []
    assert run(*words, "--json", stdin="y\n").document["graduated"] == 2


@pytest.mark.parametrize("unset", ["", "  "])
def test_an_empty_cohort_prefix_is_refused(run: Run, students: Path, unset: str) -> None:
    run("account", "import", str(students))
    done = run("account", "graduate", "--cohort", unset, "--yes")
    assert done.code == 2
    assert "every student" in done.err
    assert run("account", "list", "--role", "alumni", "--json").document == []


def test_graduates_are_named_in_one_way_and_must_exist(run: Run, tmp_path: Path) -> None:
    assert run("account", "graduate").code == 2
    assert run("account", "graduate", "alice", "--cohort", "s").code == 2
    names = tmp_path / "names"
    names.write_text("# the class of 2023, garçons\nnobody\ngarçon\n\n")
    for words in (("--file", str(names)), ("--file", str(names), "--dry-run")):
        done = run("account", "graduate", *words)
        assert done.code == 1
        assert "nobody, garçon" in done.err


def test_maintain_notifies_graduates(run: Run, tmp_path: Path) -> None:
    program, mail = tmp_path / "sendmail", tmp_path / "mail"
    run("account", "add", "jane", "--role", "student")
    run("account", "graduate", "jane")
    assert run("maintain", "--no-notices").code == 0
    done = run("maintain")
    assert done.code == 1
    assert "notices wait" in done.err
    assert run("maintain", "--json").document["notices"] == 0  # a minute has not passed
    with closing(sqlite3.connect(tmp_path / "gatepost.db")) as store, store:
        store.execute("UPDATE notice SET next_at = 0")
    program.write_text(f'#!/bin/sh\necho "$@" > {mail}\ncat >> {mail}\n')
    program.chmod(0o755)
    assert run("maintain", "--json").document["notices"] == 1
    assert run("maintain", "--json").document["notices"] == 0
    text = mail.read_text()
    assert text.startswith("-i -f <> -- jane@mail.example.edu\n")
    assert "Auto-Submitted: auto-generated" in text
    assert "From: postmaster@mail.example.edu" in text
    assert re.search(r"^Message-ID: <notice\.\d+\.\d+@mail\.example\.edu>$", text, re.MULTILINE)
    assert "alumni account" in text
