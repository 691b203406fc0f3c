"""A site on disk, and the real command line on it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli import gatepost

TOML = """\
[site]
domains = ["mail.example.edu"]
key_file = "{folder}/secret.key"
sendmail = "{folder}/sendmail"
[store]
url = "sqlite:///{folder}/gatepost.db"
"""


@dataclass(frozen=True, slots=True)
class Done:
    """The exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Return the one JSON document on stdout."""
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a configuration in it."""
    (tmp_path / "gatepost.toml").write_text(TOML.format(folder=tmp_path))
    return tmp_path


@pytest.fixture
def empty(folder: Path) -> Run:
    """Return the command line of a site whose store has no tables yet."""

    def run(*words: str, stdin: str | bytes = "") -> Done:
        words = ("--config", str(folder / "gatepost.toml"), *words)
        result = CliRunner().invoke(gatepost, words, input=stdin)
        return Done(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def run(empty: Run) -> Run:
    """Return the command line of a site that is ready."""
    assert empty("db", "upgrade").code == 0
    return empty
