"""One vocabulary of log events: every name has a meaning, and no other name is logged."""

import ast
from pathlib import Path
from typing import get_args

from config.daemon.events import MEANINGS, Event, event

ROOT = Path(__file__).parents[3]
ADOPTED = ("config", "store", "policyd", "dovecot_auth", "milters")


def logged(folder: str) -> set[str]:
    """Return the names in ``fields(event="…")`` in *folder*; mypy checks those of `event()`."""
    names: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.keyword(arg="event", value=ast.Constant(value=str(name))):
                    names.add(name)
    return names


def test_every_event_has_a_meaning() -> None:
    assert set(MEANINGS) == set(get_args(Event))
    assert all(MEANINGS.values())


def test_only_events_of_the_vocabulary_are_logged() -> None:
    for folder in ADOPTED:
        assert logged(folder) <= set(MEANINGS), folder


def test_a_line_about_a_message_begins_with_its_queue_id() -> None:
    line = event("dsn-failed", "4ABC", to="a@b.example", reason=OSError("no route"))
    assert line == '4ABC event=dsn-failed to=a@b.example reason="no route"'
    assert event("ready", listen=None) == "event=ready"


def test_a_forged_queue_id_stays_in_its_line() -> None:
    assert "\n" not in event("dsn-sent", "4ABC\nevent=ready")
