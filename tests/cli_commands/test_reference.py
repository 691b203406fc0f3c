from pathlib import Path

from tests.cli_commands.reference import reference

DOCS = Path(__file__).parents[2] / "docs"


def test_the_command_reference_is_current() -> None:
    assert (DOCS / "cli.md").read_text() == reference(), "run ./dev fmt"
