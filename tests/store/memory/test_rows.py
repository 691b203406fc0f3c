"""The services read without the ORM what the ORM writes."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import TableClause

from store import models, revision
from store.memory import rows

PROGRAM = """
import sys
from pathlib import Path
import milters.__main__
import policyd.__main__
from config.loader import load
from store.memory.directory import Directory
from store.engine import Store

settings = load(Path(sys.argv[1]))
assert Directory(Store(settings.store.url), settings).refresh()
print(*({"alembic", "sqlalchemy.orm", "store.models"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "table",
    [revision.REVISION, rows.ACCOUNT, rows.ALIAS, rows.SUSPENSION, rows.WHITELIST],
    ids=str,
)
def test_every_field_read_is_a_column_of_the_models(table: TableClause) -> None:
    assert set(table.c.keys()) <= set(models.Base.metadata.tables[table.name].c.keys())


@pytest.mark.system
@pytest.mark.usefixtures("store")
def test_milter_and_policyd_read_accounts_without_the_orm(url: str, tmp_path: Path) -> None:
    config = tmp_path / "gatepost.toml"
    config.write_text(f'[site]\ndomains = ["mail.example.edu"]\n[store]\nurl = "{url}"\n')
    command = [sys.executable, "-I", "-c", PROGRAM, str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
