"""Dovecot: which of the shipped files a site needs, and which of its own settings are in the way.

The site keeps its passdbs, its quota root, rules and warnings, its sockets. gatepost's passdb
comes first in the order of files, so that it answers for its accounts; others are still found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.setup.dovecot_files import Block, ConfigFile, blocks, switch_off
from config.setup.files import Change, change_to
from config.setup.part import SetupNote

SHARE = Path(__file__).parents[1] / "etc"
NAMES, AUTH = "00-gatepost-names.conf", "gatepost-auth.conf"
# Read before 10-auth.conf, which names the site's own passdbs.
INSTALLED_AUTH = "00-gatepost-auth.conf"
QUOTA, STATUS, WARNING = (
    "gatepost-quota.conf", "gatepost-quota-status.conf", "gatepost-quota-warning.conf",
)  # fmt: skip
SCRIPT = "quota-warning"


@dataclass(frozen=True, slots=True)
class DovecotFacts:
    """What doveconf tells about this Dovecot."""

    release: str  # "2.3" or "2.4"
    files: Sequence[ConfigFile]
    imap_plugins: str  # 2.3: mail_plugins in effect for IMAP
    has_quota_status: bool


def plan(
    facts: DovecotFacts, folder: Path, home: Path, *, queue: str, warnings: bool, end_others: bool
) -> tuple[list[Change], list[SetupNote]]:
    """Return the changes in *folder* (conf.d), *home* (/opt/gatepost) and the site's own files."""
    site = [f for f in facts.files if not f.path.name.startswith((INSTALLED_AUTH, "gatepost-"))]
    own_blocks = [block for file in site for block in blocks(file)]
    roots = [block for block in own_blocks if block.kind == "quota"]
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
        default = _switch_off_sizes(roots, edits)
        if default:
            texts[AUTH] += _DEFAULT_SIZE.format(size=default)
    else:
        notes += _notes_on_rules(site)
    notes += _notes_on_passdbs(own_blocks, edits, end=end_others)
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
# Your own mailbox size, for accounts that gatepost does not know. Inside "quota" it would
# override the size that comes with an account.
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
    """Return where Dovecot 2.3's ``plugin`` block sets *name*, each as FILE:LINE SETTING."""
    return [
        f"{file.path}:{number} {line.strip()}"
        for file in site
        for number, line in enumerate(file.text.splitlines(), 1)
        if line.split("=")[0].strip() == name and "=" in line
    ]


def _imap_plugins(effective: str) -> str:
    """Return the line for ``protocol imap`` that keeps the plugins IMAP has already."""
    plugins = dict.fromkeys([*effective.split(), "quota", "imap_quota"])
    return f"mail_plugins = {' '.join(plugins)}"


def _switch_off_sizes(roots: Sequence[Block], edits: dict[Path, set[int]]) -> str:
    """Switch off sizes inside a quota root (2.4), where they win over an account's own.

    Returns the last of them, which becomes the default outside.
    """
    default = ""
    for root in roots:
        for number, name, value in root.settings:
            if name in ("storage_size", "quota_storage_size"):
                edits.setdefault(root.path, set()).add(number)
                default = value
    return default


def _notes_on_rules(site: Sequence[ConfigFile]) -> list[SetupNote]:
    """Return a note on each quota rule of the site that stays in force beside the role's (2.3)."""
    rules = [rule for n in range(2, 10) for rule in _plugin_settings(site, f"quota_rule{n}")]
    return [
        SetupNote(
            f"kept: {rule}: it stays in force beside the role's limit, which counts the trash"
        )
        for rule in rules
    ]


def _notes_on_passdbs(
    own_blocks: Sequence[Block], edits: dict[Path, set[int]], *, end: bool
) -> list[SetupNote]:
    """Return a note on each other passdb, or with *end* switch them and their userdbs off."""
    others = [b for b in own_blocks if b.kind in ("passdb", "userdb") and b.answers_for_accounts]
    if end:
        for block in others:
            edits.setdefault(block.path, set()).update(range(block.first, block.last + 1))
        return []
    return [
        SetupNote(
            f"{block} still answers, after gatepost: an account suspended in gatepost can still "
            "sign in through it with its old password",
            "once every account is in gatepost: gatepost setup dovecot --end-other-passdbs",
        )
        for block in others
        if block.kind == "passdb"
    ]
