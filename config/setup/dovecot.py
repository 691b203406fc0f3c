"""Dovecot: which of the shipped files a site needs, and what of the site's own is in the way.

What the site has is kept: its passdbs, its quota root, rules and warnings, its sockets. gatepost's
passdb comes first in the order of files, so that its people are its own; others are still found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.setup.dovecot_files import Block, ConfigFile, blocks, switch_off
from config.setup.files import Change, change_to
from config.setup.part import SetupNote

SHARE = Path(__file__).parents[1] / "etc"
NAMES, AUTH = "00-gatepost-names.conf", "gatepost-auth.conf"
# Before 10-auth.conf, which names the site's own.
INSTALLED_AUTH = "00-gatepost-auth.conf"
QUOTA, STATUS, WARNING = (
    "gatepost-quota.conf", "gatepost-quota-status.conf", "gatepost-quota-warning.conf",
)  # fmt: skip
SCRIPT = "quota-warning"


@dataclass(frozen=True, slots=True)
class DovecotFacts:
    """What doveconf says of this Dovecot."""

    release: str  # "2.3" or "2.4"
    files: Sequence[ConfigFile]
    imap_plugins: str  # 2.3: mail_plugins in effect for IMAP
    has_quota_status: bool


def plan(
    facts: DovecotFacts, folder: Path, home: Path, *, queue: str, warnings: bool, end_others: bool
) -> tuple[list[Change], list[SetupNote]]:
    """Return the changes in *folder* (conf.d), *home* (/opt/gatepost) and the site's own files."""
    site = [f for f in facts.files if not f.path.name.startswith((INSTALLED_AUTH, "gatepost-"))]
    found = [each for file in site for each in blocks(file)]
    roots = [each for each in found if each.kind == "quota"]
    replaced = {"/var/spool/postfix": queue}
    names = {NAMES: NAMES, AUTH: INSTALLED_AUTH}
    if not _has_quota(facts, site, roots):
        names[QUOTA] = QUOTA
        replaced["mail_plugins = $mail_plugins imap_quota"] = _imap_plugins(facts.imap_plugins)
    if not facts.has_quota_status or (folder / STATUS).exists():
        names[STATUS] = STATUS
    if warnings or (folder / WARNING).exists():
        names[WARNING] = WARNING
    texts = {name: _shipped_text(facts.release, name, replaced) for name in names}
    edits: dict[Path, set[int]] = {}
    notes: list[SetupNote] = []
    if facts.release != "2.3":
        default = _freed_sizes(roots, edits)
        if default:
            texts[AUTH] += _DEFAULT_SIZE.format(size=default)
    else:
        notes += _kept_rules(site)
    notes += _others(found, edits, end=end_others)
    changes = [change_to(folder / names[name], text) for name, text in texts.items()]
    if WARNING in names:
        script = _shipped_text(facts.release, SCRIPT, {})
        changes.append(change_to(home / SCRIPT, script, mode=0o755))
    changes += [
        Change(file.path, file.text, switch_off(file.text, edits[file.path]))
        for file in site
        if file.path in edits
    ]
    return changes, notes


_DEFAULT_SIZE = """
# Your own size of a mailbox, for accounts that gatepost does not know. Inside "quota" it would
# override what comes with an account.
quota_storage_size = {size}
"""


def _shipped_text(release: str, name: str, replaced: Mapping[str, str]) -> str:
    text = (SHARE / f"dovecot-{release}" / name).read_text(encoding="utf-8")
    for old, new in replaced.items():
        text = text.replace(old, new)
    return text


def _has_quota(facts: DovecotFacts, site: Sequence[ConfigFile], roots: Sequence[Block]) -> bool:
    if facts.release != "2.3":
        return bool(roots)
    return bool(_plugin_settings(site, "quota"))


def _plugin_settings(site: Sequence[ConfigFile], name: str) -> list[str]:
    """Return where a setting of Dovecot 2.3's ``plugin`` block stands, as FILE:LINE VALUE."""
    return [
        f"{file.path}:{number} {line.strip()}"
        for file in site
        for number, line in enumerate(file.text.splitlines(), 1)
        if line.split("=")[0].strip() == name and "=" in line
    ]


def _imap_plugins(effective: str) -> str:
    """Return the line for ``protocol imap`` with all plugins that IMAP has already."""
    plugins = dict.fromkeys([*effective.split(), "quota", "imap_quota"])
    return f"mail_plugins = {' '.join(plugins)}"


def _freed_sizes(roots: Sequence[Block], edits: dict[Path, set[int]]) -> str:
    """Switch off sizes that stand inside a quota root (2.4), where they win over an account's own.

    Returns the last of them, which becomes the default outside.
    """
    default = ""
    for root in roots:
        for number, name, value in root.settings:
            if name in ("storage_size", "quota_storage_size"):
                edits.setdefault(root.path, set()).add(number)
                default = value
    return default


def _kept_rules(site: Sequence[ConfigFile]) -> list[SetupNote]:
    """Tell of rules of the site that go on beside the limit of the role (2.3)."""
    found = [w for n in range(2, 10) for w in _plugin_settings(site, f"quota_rule{n}")]
    return [
        SetupNote(f"kept: {where}: it goes on beside the limit of the role, which counts the trash")
        for where in found
    ]


def _others(found: Sequence[Block], edits: dict[Path, set[int]], *, end: bool) -> list[SetupNote]:
    """Tell which passdbs still answer, or switch them and their userdbs off."""
    others = [e for e in found if e.kind in ("passdb", "userdb") and e.answers_for_people]
    if end:
        for each in others:
            edits.setdefault(each.path, set()).update(range(each.first, each.last + 1))
        return []
    return [
        SetupNote(
            f"{each} still answers, after gatepost: who is suspended in gatepost can still sign in "
            "by it with the old password",
            "when every account is in gatepost: gatepost setup dovecot --end-other-passdbs",
        )
        for each in others
        if each.kind == "passdb"
    ]
