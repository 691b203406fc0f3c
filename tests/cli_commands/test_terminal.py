"""Nothing that a file holds reaches a terminal as more than text."""

import json
import unicodedata
from pathlib import Path

import pytest

from cli_commands.terminal import escaped, escaped_json, escaped_lines
from tests.cli_commands.conftest import Done, Run

# Window title, bell, colour; a C1 control that is one byte in Latin-1; text turned round.
NASTY = "\x1b]0;owned\a\x1b[31m\x9b2J\u202e"
CONTROLS = [chr(c) for c in (*range(32), 127, *range(0x80, 0xA0), 0x202E, 0x2066, 0xFEFF)]


def harmless(done: Done) -> bool:
    """Return whether what was printed moves no cursor and turns no line."""
    text = done.out + done.err
    return all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cf") for c in text)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("csv", f"name,{NASTY},role\n"),
        ("csv", f"name,role\nann{NASTY},staff\n"),
        ("csv", f"name,role\nanna,{NASTY}\n"),
        ("csv", f"name,role,aliases\nanna,staff,{NASTY}\n"),
        ("csv", f'name,role\n"anna{NASTY}\n'),
        ("passwd", f"{NASTY}:x:1000:1000::/home:/bin/sh\n"),
        ("passwd", f"anna:{NASTY}:1000:1000:{NASTY}:/home:/bin/sh\n"),
        ("dovecot", f"anna:{NASTY}::::::\n"),
        ("dovecot", f"{NASTY}\n"),
    ],
)
@pytest.mark.parametrize("flag", [(), ("--json",)])
def test_an_account_file_cannot_write_on_the_terminal(
    run: Run, folder: Path, form: str, text: str, flag: tuple[str, ...]
) -> None:
    path = folder / "people"
    path.write_text(text, "utf-8", newline="")
    words = ("account", "import", str(path), "--format", form, *flag)
    if form != "csv":
        words = (*words, "--role", "staff")
    assert harmless(run(*words, "--dry-run"))
    assert harmless(run(*words))


def test_a_list_of_names_cannot_write_on_the_terminal(run: Run, folder: Path) -> None:
    path = folder / "names"
    path.write_text(f"anna{NASTY}\n{NASTY}\n")
    done = run("account", "graduate", "--file", str(path), "--to", "alumni")
    assert done.code
    assert harmless(done)


@pytest.mark.parametrize(
    "text",
    [f'[site]\ndomains = ["{{}}"]\n{NASTY}', '[site]\n"{}" = 1\n', '[site]\nhelp_url = "{}"\n'],
)
def test_a_configuration_cannot_write_on_the_terminal(empty: Run, folder: Path, text: str) -> None:
    quoted = json.dumps(NASTY)[1:-1].replace("\\u009b", "\\u009B")
    (folder / "gatepost.toml").write_text(text.format(quoted))
    for flag in ((), ("--json",)):
        done = empty("config", "check", *flag)
        assert done.code == 78
        assert harmless(done)


def test_stored_text_cannot_write_on_the_terminal(run: Run) -> None:
    run("account", "add", "anna", "--role", "staff")
    run("account", "suspend", "anna", "--reason", NASTY)
    run("whitelist", "add", "192.0.2.7", "--reason", NASTY)
    for words in (("account", "show", "anna"), ("whitelist", "list"), ("audit",)):
        for flag in ((), ("--json",)):
            done = run(*words, *flag)
            assert done.code == 0
            assert "owned" in done.out or words[0] == "account"
            assert harmless(done)


@pytest.mark.parametrize("letter", CONTROLS)
def test_json_escapes_control_characters_without_changing_meaning(letter: str) -> None:
    assert escaped(f"a{letter}b").isprintable()
    assert escaped_lines(f"a\n{letter}").count("\n") == (2 if letter == "\n" else 1)
    document = json.dumps({"a": letter}, ensure_ascii=False)
    shown = escaped_json(document)
    assert shown.isprintable()
    assert json.loads(shown) == {"a": letter}


def test_json_keeps_letters_and_escapes_surrogates() -> None:
    text = "帳號 \U0001f600 \udce9"
    shown = escaped_json(json.dumps(text, ensure_ascii=False))
    assert "帳號 \U0001f600" in shown
    assert json.loads(shown) == text
