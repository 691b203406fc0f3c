from pathlib import Path

import pytest

from config.loader import MAX_FILE, ConfigError, find, load, parse
from config.settings import Settings
from config.units import Rate

CASES = sorted((Path(__file__).parents[1] / "cases" / "bad-config").iterdir())
SMALLEST = '[site]\ndomains = ["mail.example.edu"]\n[store]\nurl = "sqlite:////x/y.db"\n'


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_broken_file_is_rejected_with_file_key_and_cure(case: Path) -> None:
    path = case / "gatepost.toml"
    expected = (case / "expected").read_text().splitlines()
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).splitlines() == [f"{path}: {line}" for line in expected]


def settings_of(text: str) -> Settings:
    return parse(text, Path("gatepost.toml")).settings


def test_the_smallest_file_gives_the_shipped_defaults() -> None:
    made = settings_of(SMALLEST)
    assert list(made.roles) == ["staff", "student", "alumni"]
    assert made.roles["alumni"].mailbox == 50 << 20
    assert made.roles["student"].send == (Rate(200, 3600), Rate(500, 86400))
    assert made.site.postmaster == "postmaster@mail.example.edu"


def test_by_default_policyd_milter_and_authd_open_no_port() -> None:
    # Any process of the machine can connect to a loopback port; a socket has an owner and a mode.
    made = settings_of(SMALLEST)
    listen = (*made.policyd.listen, *made.auth.listen, made.milter.listen)
    assert [str(each) for each in listen if each.kind != "unix"] == []


def test_a_table_of_a_shipped_role_changes_only_what_it_names() -> None:
    made = settings_of(SMALLEST + '[roles.staff]\nattachments = "1G"\n')
    assert made.roles["staff"].attachments == 1 << 30
    assert made.roles["staff"].mailbox == 5120 << 20
    assert list(made.roles) == ["staff", "student", "alumni"]


def test_a_site_role_is_added_to_the_shipped_ones() -> None:
    table = '[roles.guest]\nmailbox = "1M"\nattachments = "1M"\nsend = []\n'
    assert "guest" in settings_of(SMALLEST + table).roles


def test_settings_cannot_be_changed_after_start() -> None:
    with pytest.raises(Exception, match="frozen"):
        settings_of(SMALLEST).limits.mode = "observe"


def test_a_retired_key_is_ignored_with_a_warning_that_names_the_cure() -> None:
    loaded = parse(SMALLEST + "[policyd]\nworkers = 4\n", Path("gatepost.toml"))
    assert loaded.settings == settings_of(SMALLEST)
    (warning,) = loaded.warnings
    assert warning.key == "policyd.workers"
    assert "gatepost-policyd@2" in warning.text


def test_the_file_is_the_option_then_the_environment_then_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEPOST_CONFIG", "/from/environment")
    assert find("/from/option") == Path("/from/option")
    assert find() == Path("/from/environment")
    monkeypatch.delenv("GATEPOST_CONFIG")
    assert find() == Path("/etc/gatepost/gatepost.toml")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a = 1\nb = '\xe4'\n", r"not UTF-8: line 2, byte 6 is 0xE4; convert .* iconv"),
        (b"#" * (MAX_FILE + 1), "larger than"),
        (b"a=" + b"[" * 100_000, "not valid TOML"),
    ],
)
def test_a_file_that_is_not_a_configuration_is_rejected(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "gatepost.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        load(path)


def test_a_missing_file_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config or GATEPOST_CONFIG"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_skipped(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "gatepost.toml"
    path.write_text(SMALLEST, encoding=encoding)
    assert load(path) == load_plain(tmp_path)


def load_plain(folder: Path) -> Settings:
    path = folder / "plain.toml"
    path.write_text(SMALLEST)
    return load(path)
