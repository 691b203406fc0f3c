"""What `gatepost setup dovecot` adds, and which settings of the site it keeps."""

from pathlib import Path

import pytest

from config.setup import dovecot
from config.setup.dovecot_files import ConfigFile, blocks, read_all, switch_off, switch_on

CONF_D, HOME = Path("/etc/dovecot/conf.d"), Path("/opt/gatepost")
LOCAL = Path("/etc/dovecot/local.conf")
PASSDBS = """\
# passdb { old }
passdb {
  driver = passwd-file
  args = /etc/dovecot/users
}
passdb {
  driver = passwd-file
  args = /etc/dovecot/master-users
  master = yes
}
userdb {
  driver = static
  args = uid=5000
}
"""
QUOTA_2_4 = """\
quota "User quota" {
  storage_size = 1G
  warning site {
    quota_storage_percentage = 90
    execute site-warning {
      args = 90
    }
  }
}
"""


def plan(
    release: str,
    text: str,
    *,
    plugins: str = "",
    end_others: bool = False,
) -> tuple[dict[str, str], list[str]]:
    """Return the new text of each file by its name, and the notes."""
    facts = dovecot.DovecotFacts(release, [ConfigFile(LOCAL, text)], plugins)
    changes, notes = dovecot.plan(
        facts, CONF_D, HOME, queue="/srv/queue", warnings=False, end_others=end_others
    )
    texts = {each.path.name: each.after or "" for each in changes}
    return texts, [note.text for note in notes]


@pytest.mark.parametrize("release", ["2.3", "2.4"])
def test_gatepost_answers_before_the_sites_own(release: str) -> None:
    texts, _ = plan(release, "")
    assert "00-gatepost-auth.conf" in texts  # before Debian's 10-auth.conf
    assert "passdb" in texts["00-gatepost-auth.conf"]


@pytest.mark.parametrize("release", ["2.3", "2.4"])
def test_quota_status_listens_in_the_queue_of_this_machine(release: str) -> None:
    texts, _ = plan(release, "")
    assert "/srv/queue/private/quota-status" in texts["gatepost-quota-status.conf"]
    own = "service quota-status {\n}\n"
    assert "gatepost-quota-status.conf" not in plan(release, own)[0]


@pytest.mark.parametrize(
    ("release", "text"),
    [("2.3", "plugin {\n  quota = maildir:User quota\n}\n"), ("2.4", QUOTA_2_4)],
)
def test_a_quota_root_of_the_site_is_kept(release: str, text: str) -> None:
    assert "gatepost-quota.conf" in plan(release, "")[0]
    assert "gatepost-quota.conf" not in plan(release, text)[0]


def test_plugins_that_imap_has_already_are_kept() -> None:
    texts, _ = plan("2.3", "", plugins="zlib imap_sieve")
    assert "mail_plugins = zlib imap_sieve quota imap_quota" in texts["gatepost-quota.conf"]


def test_a_size_inside_the_quota_root_becomes_the_default_outside() -> None:
    texts, _ = plan("2.4", QUOTA_2_4)
    assert "#gatepost#   storage_size = 1G" in texts["local.conf"]
    assert "\nquota_storage_size = 1G\n" in texts["00-gatepost-names.conf"]
    assert switch_on(texts["local.conf"]) == QUOTA_2_4
    # A second run knows it still, and does not switch it off twice.
    again, _ = plan("2.4", texts["local.conf"])
    assert again["local.conf"] == texts["local.conf"]
    assert again["00-gatepost-names.conf"] == texts["00-gatepost-names.conf"]


def test_a_quota_rule_for_the_trash_is_noted() -> None:
    _, notes = plan("2.3", "plugin {\n  quota = x\n  quota_rule2 = Trash:storage=+100M\n}\n")
    (note,) = notes
    assert note.startswith(f"kept: {LOCAL}:3 quota_rule2 = Trash:storage=+100M")


def test_another_passdb_is_noted_with_its_file_and_line() -> None:
    _, notes = plan("2.3", PASSDBS)
    assert len(notes) == 1
    assert notes[0].startswith(f"{LOCAL}:2 passdb passwd-file still answers, after gatepost")


def test_other_passdbs_are_switched_off_on_request_but_masters_stay() -> None:
    texts, notes = plan("2.3", PASSDBS, end_others=True)
    assert notes == []
    left = list(blocks(ConfigFile(LOCAL, texts["local.conf"])))
    assert [each.get("master") for each in left] == ["yes"]
    assert switch_on(texts["local.conf"]) == PASSDBS


@pytest.mark.parametrize("numbers", [[1], [2, 3], [1, 2, 3]])
def test_switch_on_restores_the_lines_that_were_switched_off(numbers: list[int]) -> None:
    text = "a {\n  # b\n}\n"
    assert switch_on(switch_off(text, numbers)) == text


def test_files_are_read_in_the_order_dovecot_includes_them(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/20.conf").write_text("two\n")
    (tmp_path / "conf.d/10.conf").write_text("!include ten.ext\n")
    (tmp_path / "conf.d/ten.ext").write_text("!include ../dovecot.conf\n")  # a circle is broken
    (tmp_path / "dovecot.conf").write_text(
        "!include conf.d/*.conf\n#!include other\n!include_try local.conf\n"
    )
    names = [each.path.name for each in read_all(tmp_path / "dovecot.conf")]
    assert names == ["dovecot.conf", "10.conf", "ten.ext", "20.conf"]
