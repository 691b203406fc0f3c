"""The files a site installs: each is valid for the program that reads it, and they agree.

The private stack runs on these files, too (tests/stack). Here is tested what it replaces, such
as paths, and what only a site uses, such as systemd.
"""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic import BaseModel

from config.loader import load
from config.settings import RoleSettings, Settings
from config.setup.postfix import DATA, END_OF_DATA, RECIPIENT, SIZES
from tests.stack import programs, shipped
from tests.stack.dovecot_release import release

SAMPLE = shipped.ETC / "gatepost.toml"
SYSTEMD = shipped.ETC / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))
SPOOL = "/var/spool/postfix/"
# How dovecot.conf begins.
HEAD = {"2.3": "", "2.4": "dovecot_config_version = 2.4.1\ndovecot_storage_version = 2.4.1\n"}
# CHECKS 36. systemd calls 2 to 4 "OK"; ours have 1.5.
MAX_EXPOSURE = 2.0


def main_cf() -> dict[str, str]:
    """Return the shipped parameters, as Postfix joins continued lines."""
    names = ("postfix/main.cf", "postfix/quota.cf")
    lines = "\n".join(shipped.text(name, {}) for name in names).splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    joined = re.sub(r"\n[ \t]+", " ", text)
    pairs = (line.split("=", 1) for line in joined.splitlines() if line)
    return {name.strip(): value.strip() for name, value in pairs}


def unit(path: Path) -> ConfigParser:
    """Return a unit; of a repeated key, the last value (none we ask for is repeated)."""
    parser = ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(path)
    return parser


# gatepost.toml


def test_the_sample_loads() -> None:
    assert load(SAMPLE).site.domains == ("mail.example.edu",)


def test_removing_any_line_of_the_sample_changes_nothing() -> None:
    sample = load(SAMPLE).model_dump(exclude={"site", "store"})
    defaults = Settings.model_validate(
        {"site": {"domains": ["mail.example.edu"]}, "store": {"url": "sqlite:////x"}}
    ).model_dump(exclude={"site", "store"})
    assert sample == defaults


def test_the_sample_names_every_key() -> None:
    sample = tomllib.loads(SAMPLE.read_text(encoding="utf-8"))
    missing = [
        f"{section}.{key}"
        for section, table in sample.items()
        if section != "roles"
        for key in set(_fields(section)).difference(table)
    ]
    missing += [
        f"roles.{name}.{key}"
        for name, table in sample["roles"].items()
        for key in set(RoleSettings.model_fields).difference(table)
    ]
    assert not missing
    assert set(sample) == set(Settings.model_fields)


def _fields(section: str) -> Iterator[str]:
    model = Settings.model_fields[section].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    yield from model.model_fields


# Postfix


def test_the_shipped_lines_replace_no_line_of_a_site() -> None:
    assert [name for name in main_cf() if not name.startswith("gatepost_")] == []


def test_the_documentation_names_every_parameter_that_is_changed() -> None:
    changed = {RECIPIENT, DATA, END_OF_DATA, *SIZES, "smtpd_milters", "disable_vrfy_command"}
    operations = (shipped.ETC.parents[1] / "docs/operations.md").read_text(encoding="utf-8")
    table = "".join(re.findall(r"^\| `\w+`.*$", operations, re.MULTILINE))
    assert changed <= set(re.findall(r"`(\w+)`", table))


def test_every_policy_service_has_a_short_timeout_and_a_default_action() -> None:
    services = [value for value in main_cf().values() if value.startswith("check_policy_service")]
    assert len(services) == 2
    for service in services:
        assert "timeout=10s" in service
        # Text with spaces needs its own braces, or smtpd dies at start.
        assert re.search(r"\{ default_action = 451 [^{}]+\}|default_action=DUNNO", service)


def test_mail_waits_while_the_milter_is_unavailable() -> None:
    assert "default_action=tempfail" in main_cf()["gatepost_milter"]


def test_the_services_are_where_postfix_looks_for_them() -> None:
    settings, found = load(SAMPLE), main_cf()
    for address, name in (
        (settings.policyd.listen[0], "gatepost_policy"),
        (settings.milter.listen, "gatepost_milter"),
    ):
        assert f"{{ unix:{address.path.removeprefix(SPOOL)}," in found[name]


# Dovecot


@pytest.mark.system
def test_the_installed_dovecot_reads_its_snippets_without_a_warning(tmp_path: Path) -> None:
    conf = tmp_path / "dovecot.conf"
    conf.write_text(f"{HEAD[release()]}!include {shipped.ETC}/dovecot-{release()}/*.conf\n")
    done = subprocess.run(
        [programs.path("doveconf"), "-n", "-c", str(conf)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "quota" in done.stdout
    assert done.stderr == ""


@pytest.mark.system
@pytest.mark.parametrize("own", ["", "abc@"])
def test_a_site_keeps_its_own_list_of_login_characters(tmp_path: Path, own: str) -> None:
    folder = tmp_path / "conf.d"
    shutil.copytree(shipped.ETC / f"dovecot-{release()}", folder)
    if own:
        (folder / "10-auth.conf").write_text(f"auth_username_chars = {own}\n")
    conf = tmp_path / "dovecot.conf"
    conf.write_text(f"{HEAD[release()]}!include conf.d/*.conf\n")
    done = subprocess.run(
        [programs.path("doveconf"), "-c", str(conf), "-h", "auth_username_chars"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    shown = done.stdout.rstrip("\n")
    assert shown == own or (not own and set(shown) > set("'+ aA0.-_@"))


@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_dovecot_creates_the_sockets_that_postfix_uses(version: str) -> None:
    snippets = (shipped.ETC / f"dovecot-{version}").glob("*.conf")
    text = "".join(path.read_text(encoding="utf-8") for path in snippets)
    made = set(re.findall(rf"unix_listener {SPOOL}(\S+)", text))
    # The first two by the site's own main.cf: SASL and LMTP.
    asked = {"private/auth", "private/dovecot-lmtp"}
    assert made == asked | set(re.findall(r"private/[\w-]+", shipped.text("postfix/quota.cf", {})))


@pytest.mark.parametrize("version", ["2.3", "2.4"])
@pytest.mark.parametrize(
    ("percent", "user"),
    [
        ("95", "-f"),
        ("95", "alice\nBcc: everybody@mail.example.edu"),
        ("95", ""),
        ("", "alice"),
        ("5551234", "alice"),
        ("95\nBcc: x@y.example\n\nYour password has expired", "alice"),
    ],
)
def test_a_quota_warning_rejects_arguments_that_could_alter_the_mail(
    version: str, percent: str, user: str
) -> None:
    script = shipped.ETC / f"dovecot-{version}/quota-warning"
    done = subprocess.run([script, percent, user], check=False, capture_output=True)
    assert done.returncode == 64


@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_a_quota_warning_is_retried_after_a_temporary_failure(version: str, tmp_path: Path) -> None:
    tries, lda, script = tmp_path / "tries", tmp_path / "lda", tmp_path / "quota-warning"
    tries.touch()
    # Fails once as Dovecot's does while it cannot look up an account.
    lda.write_text(f"#!/bin/sh\ncat >>{tries}\n[ $(grep -c ^To: {tries}) -eq 2 ] || exit 75\n")
    private = {"/usr/lib/dovecot/dovecot-lda": str(lda), "/opt/gatepost/venv/bin": "/nonexistent"}
    script.write_text(shipped.text(f"dovecot-{version}/quota-warning", private))
    for each in (lda, script):
        each.chmod(0o755)
    subprocess.run([script, "95", "alice"], check=True, capture_output=True)
    assert tries.read_text().count("To: <alice>") == 2


# systemd and cron


@pytest.mark.system
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_confines_its_service(path: Path) -> None:
    done = subprocess.run(
        [programs.path("systemd-analyze"), "security", "--offline=true", str(path)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = re.search(r"exposure level for \S+: (\d+\.\d)", done.stdout)
    assert found
    assert float(found[1]) <= MAX_EXPOSURE


@pytest.mark.system
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_understands_every_line_of_a_unit(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    # Only the program is not installed where we test.
    copy.write_text(path.read_text().replace("/opt/gatepost/venv/bin/python", "/bin/true"))
    for each in SYSTEMD.glob("*.socket"):
        (tmp_path / each.name).write_text(each.read_text())
    done = subprocess.run(
        [programs.path("systemd-analyze"), "verify", str(copy)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert path.stem not in done.stderr


def test_every_service_has_a_user_of_its_own_and_systemd_creates_it() -> None:
    users = [unit(path)["Service"]["User"] for path in UNITS if "@" not in path.name]
    created = re.findall(
        r"^u (\S+)", (SYSTEMD / "gatepost.sysusers.conf").read_text(), re.MULTILINE
    )
    assert len(set(users)) == len(users)
    assert set(users) <= set(created)


def test_an_instance_of_policyd_is_the_same_service_on_the_same_socket() -> None:
    first, instance = (
        unit(SYSTEMD / name) for name in ("gatepost-policyd.service", "gatepost-policyd@.service")
    )
    assert instance["Service"].pop("Sockets") == "gatepost-policyd.socket"
    assert "gatepost-policyd.socket" in instance["Unit"]["Requires"]
    for each in (first, instance):
        del each["Unit"]["Description"]
    assert first == instance


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_a_gatepost_package_in_isolated_mode(path: Path) -> None:
    words = unit(path)["Service"]["ExecStart"].split()
    assert words[1:3] == ["-I", "-m"]
    assert find_spec(words[3])


def test_the_socket_unit_listens_where_policyd_would() -> None:
    socket = unit(SYSTEMD / "gatepost-policyd.socket")["Socket"]
    assert socket["ListenStream"] == load(SAMPLE).policyd.listen[0].path
    assert (socket["SocketGroup"], socket["SocketMode"]) == ("postfix", "0660")
    assert socket["TriggerLimitIntervalSec"] == "0"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_failed_service_is_restarted_without_limit(path: Path) -> None:
    found = unit(path)
    assert found["Unit"]["StartLimitIntervalSec"] == "0"
    assert (found["Service"]["Restart"], found["Service"]["RestartSec"]) == ("always", "5")
    assert "RestartPreventExitStatus" not in found["Service"]


def test_cron_runs_the_installed_command_as_a_user_that_systemd_creates() -> None:
    lines = (shipped.ETC / "cron.d/gatepost").read_text().splitlines()
    (job,) = [line for line in lines if re.match(r"[*\d]", line)]
    *_when, user, program, word, _quiet = job.split()
    assert re.search(rf"^u {user} ", (SYSTEMD / "gatepost.sysusers.conf").read_text(), re.MULTILINE)
    assert (program, word) == ("/opt/gatepost/venv/bin/gatepost", "maintain")
