import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import click
import pytest

from cli import COMMANDS, gatepost
from store.engine import Store
from store.logins import budgets, guesses
from tests.cli_commands.conftest import Run

WORDS = "correct horse battery staple"


def commands() -> list[tuple[str, click.Command]]:
    context = click.Context(gatepost)
    found = []
    for name in COMMANDS:
        command = gatepost.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found += [(f"{name} {sub}", each) for sub, each in command.commands.items()]
        else:
            found.append((name, command))
    return found


@pytest.mark.parametrize(("name", "command"), commands())
def test_every_command_has_help_with_an_example(name: str, command: click.Command) -> None:
    assert command.help
    assert "Example: gatepost " in " ".join(command.help.split())
    assert name == "serve" or any(p.name == "as_json" for p in command.params)


def test_a_broken_configuration_exits_with_78_before_all_else(empty: Run) -> None:
    done = empty("--config", "/nonexistent.toml", "whitelist", "list")
    assert done.code == 78
    assert "/nonexistent.toml: no such file" in done.err


def test_invalid_usage_exits_with_2(run: Run) -> None:
    assert run("account", "add").code == 2
    assert run("nonsense").code == 2
    assert run("whitelist", "add", "192.0.2.7/24", "--reason", "x").code == 2
    assert (
        run("whitelist", "add", "192.0.2.7", "--for", "1m", "--permanent", "--reason", "x").code
        == 2
    )


def test_not_found_and_refused_exit_with_1(run: Run) -> None:
    assert run("account", "show", "nobody").code == 1
    assert run("whitelist", "revoke", "192.0.2.7").code == 1
    assert run("account", "add", "alice", "--role", "king").code == 1


def test_an_account_is_created_shown_changed_and_removed(run: Run) -> None:
    done = run(
        "account", "add", "Alice@mail.example.edu", "--role", "staff", "--password-stdin",
        "--alias", "al", "--second-mailbox", "alice@home.test", "--json", stdin=WORDS + "\n",
    )  # fmt: skip
    assert done.code == 0
    assert done.document["name"] == "alice"
    assert "5 GiB (of the role)" in run("account", "show", "AL").out
    done = run("account", "set", "alice", "--mailbox", "1G", "--until", "7d", "--json")
    assert done.document["mailbox"] == 1 << 30
    assert done.document["mailbox_until"] is not None
    done = run("account", "set", "alice", "--mailbox", "role", "--alias", "", "--json")
    assert (done.document["mailbox"], done.document["aliases"]) == (None, [])
    refused = run("account", "remove", "alice")
    assert refused.code == 1
    assert "--yes" in refused.err
    assert run("account", "remove", "alice", "--yes").code == 0
    assert run("account", "list", "--json").document == []


def test_a_removed_account_s_mailbox_is_named(run: Run, folder: Path) -> None:
    toml = folder / "gatepost.toml"
    home = '[site]\nmail_home = "/srv/{name}/mail"\n'
    toml.write_text(toml.read_text().replace("[site]\n", home))
    run("account", "add", "alice", "--role", "staff")
    done = run("account", "remove", "alice", "--yes", "--json")
    assert done.document["mail_home"] == "/srv/alice/mail"


@pytest.mark.parametrize("field", ["mailbox", "attachments", "send"])
@pytest.mark.parametrize("nonsense", ["", " ", "much", "999999999999T"])
def test_an_empty_or_invalid_limit_is_rejected(run: Run, field: str, nonsense: str) -> None:
    run("account", "add", "alice", "--role", "staff")
    for more in ((), ("--until", "7d")):
        assert run("account", "set", "alice", f"--{field}", nonsense, *more).code == 2
    assert run("account", "show", "alice", "--json").document[field] is None


@pytest.mark.parametrize(("field", "kept"), [("mailbox", 0), ("send", "")])
def test_unlimited_lifts_a_limit_and_role_restores_it(run: Run, field: str, kept: object) -> None:
    run("account", "add", "alice", "--role", "staff")
    done = run("account", "set", "alice", f"--{field}", "unlimited", "--until", "7d", "--json")
    assert done.document[field] == kept
    done = run("account", "set", "alice", f"--{field}", "role", "--json")
    assert (done.document[field], done.document[f"{field}_until"]) == (None, None)


def test_a_role_with_a_smaller_mailbox_needs_graduate(run: Run) -> None:
    run("account", "add", "alice", "--role", "student")
    refused = run("account", "set", "alice", "--role", "alumni")
    assert refused.code == 1
    assert "`gatepost account graduate alice --role alumni`" in refused.err
    assert run("account", "show", "alice", "--json").document["role"] == "student"
    assert run("account", "set", "alice", "--role", "staff").code == 0
    assert run("account", "set", "alice", "--role", "alumni", "--mailbox", "1G").code == 0
    assert run("account", "set", "alice", "--role", "king").code == 1


def test_an_initial_password_is_marked_and_its_number_never_shown(run: Run) -> None:
    number = "a123-456 789"
    done = run("account", "add", "s1", "--role", "student", "--identity-stdin", stdin=number)
    assert "[initial password]" in done.out
    assert "initial password" in run("account", "list").out
    assert "[initial password]" in run("account", "show", "s1").out
    assert run("account", "show", "s1", "--json").document["initial"] is True
    shown = run("account", "show", "s1").out + run("audit", "--json").out
    assert "A123456789" not in shown
    run("account", "passwd", "s1", "--password-stdin", stdin=WORDS)
    assert run("account", "show", "s1", "--json").document["initial"] is False


def test_an_initial_password_needs_the_number_on_file(run: Run) -> None:
    run("account", "add", "s1", "--role", "student", "--identity-stdin", stdin="A123")
    run("account", "passwd", "s1", "--password-stdin", stdin=WORDS)
    words = ("account", "passwd", "s1", "--identity-stdin")
    refused = run(*words, stdin="B456")
    assert refused.code == 1
    assert "not the one on file" in refused.err
    assert run("account", "show", "s1", "--json").document["initial"] is False
    assert run(*words, stdin=" a-123").code == 0
    assert run(*words, "--replace-identity", stdin="B456").code == 0
    assert run(*words, stdin="A123").code == 1
    assert run(*words, stdin="B456").code == 0
    assert run("account", "passwd", "s1", "--replace-identity").code == 2


def test_a_missing_identity_number_is_stored(run: Run) -> None:
    for name in ("alice", "bob"):
        run("account", "add", name, "--role", "staff")
    assert run("account", "passwd", "alice", "--identity-stdin", stdin="A123").code == 0
    done = run("account", "set", "bob", "--identity-stdin", "--json", stdin="A123")
    assert done.document["has_identity"] is True
    assert done.document["has_password"] is False
    assert run("account", "show", "alice", "--json").document["has_identity"] is True
    assert run("account", "set", "alice", "--identity-stdin", stdin="B456").code == 1
    changed = ("account", "set", "alice", "--identity-stdin", "--replace-identity")
    assert run(*changed, stdin="B456").code == 0
    assert run("account", "set", "alice", "--identity-stdin", stdin="?").code == 2
    (entry, *_) = run("audit", "bob", "--json").document
    assert entry["detail"] == {"identity": "on file"}


def test_a_typed_password_is_asked_for_twice(run: Run) -> None:
    run("account", "add", "alice", "--role", "staff")
    assert run("account", "passwd", "alice", stdin=f"{WORDS}\n{WORDS}\n").code == 0
    done = run("account", "passwd", "alice", stdin="short\nshort\n")
    assert done.code == 1
    assert "at least 15" in done.err


def test_a_suspension_is_shown_and_ended(run: Run) -> None:
    run("account", "add", "alice", "--role", "staff")
    run("account", "suspend", "alice", "--for", "1d", "--reason", "phished")
    assert "sending until" in run("account", "show", "alice").out
    assert run("account", "resume", "alice").code == 0
    assert run("account", "resume", "alice").code == 1


def test_a_suspension_ends_at_its_date_which_must_be_future(run: Run) -> None:
    run("account", "add", "alice", "--role", "staff")
    words = ("account", "suspend", "alice", "--reason", "phished")
    assert run(*words, "--for", "0m").code == 2
    assert run(*words, "--until", "2000-01-01").code == 2
    assert run(*words, "--until", "7d", "--for", "7d").code == 2
    assert run("account", "resume", "alice").code == 1
    at = int(datetime.fromisoformat("2099-01-31T12:00:00+00:00").timestamp())
    done = run(*words, "--until", "2099-01-31T12:00:00+00:00", "--json")
    assert abs(done.document["suspended"][0]["until"] - at) <= 1
    assert "doveadm" not in done.err


def test_suspend_from_everything_warns_of_open_sessions(run: Run) -> None:
    run("account", "add", "alice", "--role", "staff")
    words = ("account", "suspend", "Alice", "--scope", "everything", "--reason", "phished")
    assert "doveadm kick alice" in run(*words, "--json").err


def test_an_exemption_is_added_listed_and_revoked(run: Run) -> None:
    done = run("whitelist", "add", "192.0.2.7", "--reason", "newsletter", "--json")
    assert done.document["expires_at"] - done.document["created_at"] == 3600
    assert "192.0.2.7/32" in run("whitelist", "list").out
    run("whitelist", "add", "2001:db8::/48", "--permanent", "--reason", "lab")
    assert "permanent" in run("whitelist", "list").out
    assert run("whitelist", "revoke", "192.0.2.7").code == 0
    assert [e["network"] for e in run("whitelist", "list", "--json").document] == ["2001:db8::/48"]
    assert len(run("whitelist", "list", "--all", "--json").document) == 2
    assert run("whitelist", "expire", "--json").document == {"expired": 0}


def test_the_audit_log_holds_user_and_reason(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "carol")
    run("account", "add", "alice", "--role", "staff", "--reason", "ticket 4711")
    (entry,) = run("audit", "alice", "--json").document
    assert (entry["who"], entry["why"]) == ("carol (cli)", "ticket 4711")


def test_the_configuration_shown_is_the_one_in_force(run: Run) -> None:
    assert run("config", "check").code == 0
    shown = run("config", "show", "--json").document
    assert shown["roles.student.send"] == ["200/1h", "500/1d"]
    assert "spam.subject_tag" in run("config", "show").out


def test_maintain_may_run_at_any_time(run: Run) -> None:
    assert run("maintain", "--quiet").out == ""
    nothing = {"expired": 0, "windows": 0, "answers": 0, "notices": 0}
    assert run("maintain", "--json").document == nothing
    assert run("limit", "show").out == "nothing used\n"


def test_passwd_unblocks_an_account_blocked_by_guessing(run: Run, folder: Path) -> None:
    run("account", "add", "alice", "--role", "staff")
    assert run("account", "show", "alice", "--json").document["closed_until"] is None
    now = int(time.time())
    with closing(Store(f"sqlite:///{folder}/gatepost.db")) as store:
        with store.connection() as connection:
            at = guesses.budget_state(connection, name="alice", account=1, remote="", now=now)
        for _ in range(budgets.ACCOUNT_BUDGET):
            guesses.charge(store, at.budgets, now=now)
    assert "blocked" in run("account", "show", "alice").out
    assert run("account", "passwd", "alice", "--password-stdin", stdin=WORDS).code == 0
    assert run("account", "show", "alice", "--json").document["closed_until"] is None


def test_limit_reset_unblocks_a_network_blocked_by_guessing(run: Run, folder: Path) -> None:
    run("account", "add", "alice", "--role", "staff")
    now, home = int(time.time()), "192.0.2.7"
    with closing(Store(f"sqlite:///{folder}/gatepost.db")) as store:
        guesses.remember(store, 1, home, now=now)
        for number in range(budgets.NETWORK_BUDGET):
            with store.connection() as connection:
                at = guesses.budget_state(
                    connection, name=f"no{number}", account=None, remote=home, now=now
                )
            guesses.charge(store, at.budgets, now=now)
    assert (
        f"blocked from {home} for accounts new there, until" in run("account", "show", "alice").out
    )
    assert run("limit", "reset", home, "--reason", "cleaned").code == 0
    assert run("account", "show", "alice", "--json").document["closed_networks"] == {}


def test_an_override_that_ended_is_not_shown_as_in_force(run: Run) -> None:
    run("account", "add", "alice", "--role", "student")
    for field in (("--mailbox", "9G"), ("--send", "5/1h")):
        run("account", "set", "alice", *field, "--until", "1s")
    time.sleep(1.1)
    shown = run("account", "show", "alice").out
    assert "500 MiB (of the role; its own ended" in shown
    assert "200/1h 500/1d (of the role; its own ended" in shown


def test_listing_an_unknown_role_is_refused(run: Run) -> None:
    done = run("account", "list", "--role", "bogus")
    assert done.code == 1
    assert "staff, student, alumni" in done.err


@pytest.mark.parametrize("option", ["--reason", "--why"])
def test_why_is_a_hidden_alias_of_reason(run: Run, option: str) -> None:
    assert run("account", "add", "alice", "--role", "staff", option, "ticket 4711").code == 0
    assert run("account", "suspend", "alice", option, "phished").code == 0
    assert [e["why"] for e in run("audit", "alice", "--json").document] == [
        "phished",
        "ticket 4711",
    ]
    assert "--why" not in run("account", "suspend", "--help").out
