"""Values typed on the command line: times, sizes, names."""

import pytest

from tests.cli_commands.conftest import Run


@pytest.mark.parametrize("span", ["0m", "0s", "3661d", "999999d"])
def test_a_span_of_zero_or_over_ten_years_is_rejected(run: Run, span: str) -> None:
    done = run("whitelist", "add", "192.0.2.7", "--for", span, "--reason", "x")
    assert done.code == 2
    assert "between 1s and 10 years" in done.err
    assert run("whitelist", "list", "--json").document == []
    assert run("account", "set", "alice", "--mailbox", "1G", "--until", span).code == 2


def test_one_second_and_ten_years_are_accepted_spans(run: Run) -> None:
    for span in ("1s", "3660d"):
        assert run("whitelist", "add", "192.0.2.7", "--for", span, "--reason", "x").code == 0


def test_an_impossibly_large_size_is_rejected(run: Run) -> None:
    run("account", "add", "alice", "--role", "staff")
    done = run("account", "set", "alice", "--mailbox", "999999999999T")
    assert done.code == 2
    assert "1048576T" in done.err


def test_an_argument_that_is_not_utf8_is_rejected(run: Run) -> None:
    done = run("whitelist", "add", "192.0.2.7", "--reason", "b\udce9b\udce9")
    assert done.code == 2
    assert "is not UTF-8" in done.err


def test_stored_text_cannot_move_the_cursor(run: Run) -> None:
    run("whitelist", "add", "192.0.2.7", "--reason", "a\x1b[2J\r\nb\u202ec é")
    for words in (("whitelist", "list"), ("audit",)):
        shown = run(*words).out
        assert "\\x1b[2J\\r\\nb\\u202ec é" in shown
        assert not {"\x1b", "\r", "\u202e"} & set(shown)
    assert run("whitelist", "list", "--json").document[0]["reason"] == "a\x1b[2J\r\nb\u202ec é"


@pytest.mark.parametrize("number", ["\u0661", "\u00b2", "1" * 40])
def test_a_non_ascii_number_is_rejected(run: Run, number: str) -> None:
    assert run("whitelist", "revoke", number).code == 2


def test_revoke_names_another_exemption_that_still_covers(run: Run) -> None:
    run("whitelist", "add", "192.0.2.7", "--reason", "x")
    run("whitelist", "add", "192.0.2.0/24", "--reason", "y")
    assert "192.0.2.7/32 is still exempt by entry 2" in run("whitelist", "revoke", "1").out
    assert "192.0.2.0/24 is limited again" in run("whitelist", "revoke", "2").out


def test_adding_a_shorter_exemption_says_the_longer_one_stays(run: Run) -> None:
    run("whitelist", "add", "192.0.2.7", "--for", "60m", "--reason", "x")
    done = run("whitelist", "add", "192.0.2.7", "--for", "30m", "--reason", "x")
    assert "as it was already" in done.out
    done = run("whitelist", "add", "192.0.2.7", "--for", "90m", "--reason", "x")
    assert "already" not in done.out


def test_audit_accepts_every_form_of_a_name(run: Run) -> None:
    run("account", "add", "alice", "--role", "staff", "--alias", "al")
    run("whitelist", "add", "192.0.2.7", "--reason", "x")
    for form in ("alice", "Alice@Mail.example.edu", "AL"):
        (entry,) = run("audit", form, "--json").document
        assert entry["subject"] == "alice"
    assert run("audit", "192.0.2.7", "--json").document[0]["subject"] == "192.0.2.7/32"
    run("account", "remove", "alice", "--yes")
    assert len(run("audit", "alice@mail.example.edu", "--json").document) == 2
