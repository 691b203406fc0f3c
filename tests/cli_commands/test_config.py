"""`gatepost config` reports errors and values in force, and never a password."""

from pathlib import Path

import pytest

from tests.cli_commands.conftest import Run

CASES = sorted((Path(__file__).parents[1] / "cases/bad-config").iterdir())
SITE = '[site]\ndomains = ["mail.example.edu"]\n[store]\nurl = "{url}"\n'


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_config_check_reports_a_broken_file_and_exits_with_78(empty: Run, case: Path) -> None:
    path = case / "gatepost.toml"
    expected = (case / "expected").read_text().splitlines()
    done = empty("--config", str(path), "config", "check", "--json")
    assert done.code == 78
    assert done.err.splitlines() == [f"gatepost: {path}: {line}" for line in expected]
    assert (done.document["file"], done.document["good"]) == (str(path), False)
    told = [": ".join(filter(None, (p["key"], p["text"]))) for p in done.document["problems"]]
    assert told == expected
    assert "s3c" not in done.out + done.err


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:s3cret@db:5432/x", "postgresql://u:***@db:5432/x"),
        ("postgresql://db/x?user=u&password=s3cret", "postgresql://db/x?password=***&user=u"),
        ("mariadb://db/x?sslpassword=s3cret", "mariadb://db/x?sslpassword=***"),
    ],
)
def test_a_url_is_shown_as_it_was_written_without_its_password(
    folder: Path, empty: Run, url: str, shown: str
) -> None:
    (folder / "gatepost.toml").write_text(SITE.format(url=url))
    assert empty("config", "show", "--json").document["store.url"] == shown
    (folder / "gatepost.toml").write_text(SITE.format(url=shown))
    assert empty("config", "check").code == 0
