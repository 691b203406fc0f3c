"""What people type as a value: a time, a size, a reason."""

import pytest

from tests.cli_commands.conftest import Run


@pytest.mark.parametrize("span", ["0m", "0s", "3661d", "999999d"])
def test_no_time_at_all_and_more_than_ten_years_are_slips(run: Run, span: str) -> None:
    done = run("whitelist", "add", "192.0.2.7", "--for", span, "--reason", "x")
    assert done.code == 2
    assert "between 1s and 10 years" in done.err
    assert run("whitelist", "list", "--json").document == []
    assert run("account", "set", "alice", "--mailbox", "1G", "--until", span).code == 2


def test_ten_years_and_a_second_are_spans(run: Run) -> None:
    for span in ("1s", "3660d"):
        assert run("whitelist", "add", "192.0.2.7", "--for", span, "--reason", "x").code == 0


def test_a_size_that_no_disk_has_is_a_slip(run: Run) -> None:
    run("account", "add", "alice", "--role", "staff")
    done = run("account", "set", "alice", "--mailbox", "999999999999T")
    assert done.code == 2
    assert "1048576T" in done.err


def test_what_is_not_utf8_is_a_slip(run: Run) -> None:
    done = run("whitelist", "add", "192.0.2.7", "--reason", "b\udce9b\udce9")
    assert done.code == 2
    assert "is not UTF-8" in done.err


def test_no_text_of_the_store_moves_the_cursor(run: Run) -> None:
    run("whitelist", "add", "192.0.2.7", "--reason", "a\x1b[2J\r\nb\u202ec é")
    for words in (("whitelist", "list"), ("audit",)):
        shown = run(*words).out
        assert "\\x1b[2J\\r\\nb\\u202ec é" in shown
        assert not {"\x1b", "\r", "\u202e"} & set(shown)
    assert run("whitelist", "list", "--json").document[0]["reason"] == "a\x1b[2J\r\nb\u202ec é"


@pytest.mark.parametrize("number", ["\u0661", "\u00b2", "1" * 40])
def test_what_only_looks_like_a_number_is_a_slip(run: Run, number: str) -> None:
    assert run("whitelist", "revoke", number).code == 2


def test_who_is_still_exempt_is_told(run: Run) -> None:
    run("whitelist", "add", "192.0.2.7", "--reason", "x")
    run("whitelist", "add", "192.0.2.0/24", "--reason", "y")
    assert "192.0.2.7/32 is still exempt by entry 2" in run("whitelist", "revoke", "1").out
    assert "192.0.2.0/24 is limited again" in run("whitelist", "revoke", "2").out


def test_a_shorter_time_does_not_seem_to_shorten(run: Run) -> None:
    run("whitelist", "add", "192.0.2.7", "--for", "60m", "--reason", "x")
    done = run("whitelist", "add", "192.0.2.7", "--for", "30m", "--reason", "x")
    assert "as it was already" in done.out
    done = run("whitelist", "add", "192.0.2.7", "--for", "90m", "--reason", "x")
    assert "already" not in done.out


def test_the_audit_is_asked_by_any_form_of_a_name(run: Run) -> None:
    run("account", "add", "alice", "--role", "staff", "--alias", "al")
    run("whitelist", "add", "192.0.2.7", "--reason", "x")
    for form in ("alice", "Alice@Mail.example.edu", "AL"):
        (entry,) = run("audit", form, "--json").document
        assert entry["subject"] == "alice"
    assert run("audit", "192.0.2.7", "--json").document[0]["subject"] == "192.0.2.7/32"
    run("account", "remove", "alice", "--yes")
    assert len(run("audit", "alice@mail.example.edu", "--json").document) == 2
