"""What registrars and postmasters hand over, as their programs write it. tests/cases/files."""

from pathlib import Path

import pytest

from tests.cli_commands.conftest import Run

FILES = Path(__file__).parents[1] / "cases/files"
WORDS = "correct horse battery staple"
HASH = "$6$saltsalt$CANARYcanaryCANARY"


def feed(tmp_path: Path, raw: bytes) -> str:
    path = tmp_path / "file"
    path.write_bytes(raw)
    return str(path)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("form", ["passwd", "dovecot"])
def test_a_byte_order_mark_is_not_part_of_the_first_name(
    run: Run, tmp_path: Path, mark: str, form: str
) -> None:
    line = f"{mark}alice:*:5000:5000::/var/vmail/alice:/bin/sh\r\n"
    if form == "dovecot":
        line = line.replace("/bin/sh", "")
    file = feed(tmp_path, line.encode())
    done = run("account", "import", file, "--format", form, "--role", "staff")
    assert done.code == 0, done.out + done.err
    assert [each["name"] for each in run("account", "list", "--json").document] == ["alice"]


@pytest.mark.parametrize("name", ["csv-bom-quoted", "csv-semicolon", "csv-trailing-commas"])
def test_a_csv_of_a_spreadsheet_makes_its_account(run: Run, name: str) -> None:
    done = run("account", "import", str(FILES / f"{name}.csv"))
    assert (done.code, done.out) == (0, "1 created, 0 changed, 0 unchanged, 0 refused\n")


def test_a_refresh_refuses_a_second_line_and_changes_nothing(run: Run) -> None:
    for name in ("m1", "m2"):
        run("account", "add", name, "--role", "student")
    done = run("account", "import", str(FILES / "refresh-dup-min.csv"), "--refresh")
    assert done.code == 1
    assert "m1 is already in line 2" in done.out
    roles = {each["role"] for each in run("account", "list", "--json").document}
    assert roles == {"student"}


def test_a_csv_header_cannot_write_on_the_terminal(run: Run) -> None:
    done = run("account", "import", str(FILES / "csv-escape.csv"))
    assert done.code == 1
    assert "\x1b" not in done.out + done.err
    assert "\x07" not in done.out + done.err


def test_a_list_of_graduates_may_begin_with_a_byte_order_mark(run: Run) -> None:
    for name in ("g1", "g2"):
        run("account", "add", name, "--role", "student")
    done = run("account", "graduate", "--file", str(FILES / "graduate-bom.txt"))
    assert "no such account: nobody9" in done.err
    assert "g1" not in done.err


def test_a_list_in_another_encoding_is_refused_with_line_byte_and_cure(
    run: Run, tmp_path: Path
) -> None:
    file = feed(tmp_path, "g1\n王小明\n".encode("big5"))
    for words in (("graduate", "--file", file), ("import", file, "--roles", file)):
        done = run("account", *words)
        assert done.code == 1
        assert "line 2, byte 1 is 0xA4; convert it to UTF-8 first" in done.err
        assert "iconv -f BIG5 -t UTF-8" in done.err


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (("passwd", "alice", "--password-stdin"), "\ufeff" + WORDS + "\r\n"),
        (("add", "bob", "--role", "staff", "--password-stdin"), "\ufeff" + WORDS),
        (("passwd", "alice", "--identity-stdin"), "\ufeffA123\r\n"),
        (("add", "bob", "--role", "staff", "--identity-stdin"), "\ufeffA123"),
        (("set", "alice", "--identity-stdin"), "\ufeffA123\n"),
        (("passwd", "alice", "--identity-stdin"), "A123\r\n".encode("utf-16")),
        (("passwd", "alice", "--identity-stdin"), "A123".encode("utf-16")),
    ],
)
def test_a_byte_order_mark_is_not_part_of_a_secret(
    run: Run, words: tuple[str, ...], given: str | bytes
) -> None:
    run("account", "add", "alice", "--role", "staff")
    done = run("account", *words, stdin=given)
    assert done.code == 0, done.err
    if "--identity-stdin" in words:
        bare = ("account", "passwd", words[1], "--identity-stdin")
        assert run(*bare, stdin="A123").code == 0  # the number on file is the one meant


@pytest.mark.parametrize("raw", [b"correct horse gar\xe7on\n", "國立大學郵件密碼\n".encode("big5")])
@pytest.mark.parametrize("option", ["--password-stdin", "--identity-stdin"])
def test_a_secret_that_is_not_utf8_is_refused_with_byte_and_cure(
    run: Run, raw: bytes, option: str
) -> None:
    run("account", "add", "alice", "--role", "staff")
    done = run("account", "passwd", "alice", option, stdin=raw)
    assert done.code == 2
    assert "standard input: not UTF-8: line 1, byte " in done.err
    assert "iconv" in done.err
    assert run("account", "show", "alice", "--json").document["has_password"] is False


@pytest.mark.parametrize("odd", ["\ufeff", "\u200b", "\ufffd", "\ue000", "\u2028", "\u00ad"])
def test_a_password_that_nobody_could_type_is_never_stored(run: Run, odd: str) -> None:
    run("account", "add", "alice", "--role", "staff")
    for given in (f"correct {odd}horse battery", f"correct horse battery{odd}"):
        done = run("account", "passwd", "alice", "--password-stdin", stdin=given)
        assert done.code == 1, given
        assert "no keyboard types" in done.err
    assert run("account", "show", "alice", "--json").document["has_password"] is False


@pytest.mark.parametrize("form", ["csv", "passwd", "dovecot"])
@pytest.mark.parametrize(
    "line", ["alice:{}:1000:1000::/home/alice:/bin/sh", "alice,student,{}", "alice;{}", "alice {}"]
)
def test_the_wrong_format_prints_no_hash(run: Run, tmp_path: Path, form: str, line: str) -> None:
    file = feed(tmp_path, line.replace("{}", HASH).encode() + b"\n")
    for words in (
        ("import", file, "--format", form, "--role", "student"),
        ("import", file, "--format", form, "--role", "student", "--roles", file),
        ("graduate", "--file", file),
    ):
        for more in ((), ("--json",)):
            done = run("account", *words, *more)
            assert "canary" not in (done.out + done.err).lower()


def test_a_dry_run_lists_the_fields_that_an_import_drops(run: Run, tmp_path: Path) -> None:
    line = f"dean:{HASH[:12]}{'a' * 86}:1001:1001::/home/dean::userdb_quota_rule=*:storage=20G"
    file = feed(tmp_path, (line + " nologin\n").encode())
    words = ("account", "import", file, "--format", "dovecot", "--role", "staff", "--dry-run")
    done = run(*words)
    assert done.code == 1
    assert "home /home/dean: Dovecot would look for the mail in /var/vmail/dean" in done.out
    done = run(*words, "--accept-loss")
    assert done.code == 0
    for word in ("/home/dean", "1001:1001", "20 GiB", "suspension"):
        assert word in done.out
    told = run(*words, "--accept-loss", "--json").document
    assert [each["field"] for each in told["notes"]] == ["home", "uid:gid", "quota", "nologin"]
    assert run("account", "list", "--json").document == []


def test_a_file_of_roles_gives_each_line_its_role(run: Run, tmp_path: Path) -> None:
    roles = tmp_path / "roles"
    roles.write_text("\ufeffalice,staff\ncarol,student\n")
    file = feed(tmp_path, b"alice:*\nbob:*\n")
    words = ("account", "import", file, "--format", "dovecot", "--roles", str(roles))
    assert "no role" in run(*words).out
    done = run(*words, "--role", "Student")
    assert done.code == 0
    assert "named in --roles, but on no line of the file: carol" in done.out
    found = {each["name"]: each["role"] for each in run("account", "list", "--json").document}
    assert found == {"alice": "staff", "bob": "student"}


@pytest.mark.parametrize("field", ["mailbox", "attachments"])
@pytest.mark.parametrize("size", ["1", "500"])
def test_a_size_without_a_unit_is_rejected(run: Run, field: str, size: str) -> None:
    run("account", "add", "alice", "--role", "staff")
    done = run("account", "set", "alice", f"--{field}", size)
    assert done.code == 2
    assert f'"{size}M"' in done.err


def test_unlimited_is_accepted_and_shown(run: Run) -> None:
    run("account", "add", "alice", "--role", "staff")
    for nothing in ("0", "0M"):
        assert "write unlimited" in run("account", "set", "alice", "--mailbox", nothing).err
    run("account", "set", "alice", "--mailbox", "Unlimited")
    assert "unlimited (own)" in run("account", "show", "alice").out
    exported = run("account", "export").out
    assert ",unlimited," in exported


def test_an_exported_size_can_be_imported(run: Run, tmp_path: Path) -> None:
    for name, size in (("a", "1500M"), ("b", "7B"), ("c", "2G")):
        run("account", "add", name, "--role", "staff")
        run("account", "set", name, "--mailbox", size, "--attachments", size)
    before = run("account", "export").out
    for name in "abc":
        run("account", "remove", name, "--yes")
    assert run("account", "import", feed(tmp_path, before.encode())).code == 0
    assert run("account", "export").out == before


@pytest.mark.parametrize("text", ["300.1.1.1", "192.0.2.300", "192.0.2", "2001:db8::xyz"])
def test_a_mistyped_address_is_not_called_an_account(run: Run, text: str) -> None:
    for words in (("limit", "show", text), ("limit", "reset", text, "--reason", "x")):
        done = run(*words)
        assert done.code == 1
        assert "address" in done.err
    done = run("audit", text)
    assert done.code == 1
    assert "neither a network nor an account" in done.err


def test_a_network_is_distinguished_from_address_and_account(run: Run) -> None:
    assert "is a network" in run("limit", "show", "192.0.2.0/24").err
    run("account", "add", "alice", "--role", "staff")
    run("account", "remove", "alice", "--yes")
    assert run("audit", "alice").code == 0
    assert run("audit", "192.0.2.0/24").code == 0  # nothing was done to it, which is an answer


def test_a_date_with_dots_ends_a_limit_on_that_day(run: Run) -> None:
    run("account", "add", "alice", "--role", "staff")
    words = ("account", "set", "alice", "--mailbox", "1G", "--json", "--until")
    dots = run(*words, "31.01.2099").document["mailbox_until"]
    assert run(*words, "2099-01-31").document["mailbox_until"] == dots
    assert run(*words, "31/01/2099").code == 2
