"""Dovecot: which of the shipped files a site needs, and which of its own settings are in the way.

The site keeps its passdbs, its quota root, rules and warnings, its sockets. gatepost's passdb
comes first in the order of files, so that it answers for its accounts; others are still found.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from config.setup.dovecot_files import Block, ConfigFile, blocks, switch_off
from config.setup.files import Change, change_to
from config.setup.part import SetupNote
from config.setup.record import digest

SHARE = Path(__file__).parents[1] / "etc"
NAMES, AUTH = "00-gatepost-names.conf", "gatepost-auth.conf"
# Read before 10-auth.conf, which names the site's own passdbs.
INSTALLED_AUTH = "00-gatepost-auth.conf"
QUOTA, STATUS, WARNING = (
    "gatepost-quota.conf", "gatepost-quota-status.conf", "gatepost-quota-warning.conf",
)  # fmt: skip
SCRIPT = "quota-warning"
# The files of 0.1.0, which had to be copied by hand: the first digits of their SHA-256.
_FIRST_RELEASE = frozenset({
    "c1e87675adad4ebf", "6cc321b6d067fb62", "c595c8016a7500f4", "1ba2fb77dc01be18",  # 2.3
    "1ff0eedb9bfc664e", "5fb3cd2f6dcc72d7", "1872f488e950998e", "bf444d48e07b975c",  # 2.4
})  # fmt: skip
_QUOTA_STATUS = re.compile(r"^\s*service\s+quota-status\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class DovecotFacts:
    """What doveconf tells about this Dovecot."""

    release: str  # "2.3" or "2.4"
    files: Sequence[ConfigFile]
    imap_plugins: str  # 2.3: mail_plugins in effect for IMAP
    recorded: Collection[Path] = ()  # files of an earlier run


def plan(
    facts: DovecotFacts, folder: Path, home: Path, *, queue: str, warnings: bool, end_others: bool
) -> tuple[list[Change], list[SetupNote]]:
    """Return the changes in *folder* (conf.d), *home* (/opt/gatepost) and the site's own files."""
    site = [f for f in facts.files if not f.path.name.startswith((INSTALLED_AUTH, "gatepost-"))]
    own_blocks = [block for file in site for block in blocks(file)]
    roots = [block for block in own_blocks if block.kind == "quota"]
    replaced = {"/var/spool/postfix": queue}
    # Where 0.1.0 is installed by hand, the order of the passdbs stays.
    by_hand = (folder / AUTH).exists() and not (folder / INSTALLED_AUTH).exists()
    names = {NAMES: NAMES, AUTH: AUTH if by_hand else INSTALLED_AUTH}
    if not _has_quota(facts, site, roots) or (folder / QUOTA).exists():
        names[QUOTA] = QUOTA
        replaced["mail_plugins = $mail_plugins imap_quota"] = _imap_plugins(facts.imap_plugins)
    if not any(_QUOTA_STATUS.search(file.text) for file in site) or (folder / STATUS).exists():
        names[STATUS] = STATUS
    if warnings or (folder / WARNING).exists():
        names[WARNING] = WARNING
    texts = {name: _shipped_text(facts.release, name, replaced) for name in names}
    edits: dict[Path, set[int]] = {}
    notes: list[SetupNote] = []
    if facts.release != "2.3":
        default = _switch_off_sizes(roots, edits)
        if default:
            texts[NAMES] += _DEFAULT_SIZE.format(size=default)
    else:
        notes += _notes_on_rules(site)
    notes += _notes_on_passdbs(own_blocks, edits, end=end_others)
    changes = [change_to(folder / names[name], text) for name, text in texts.items()]
    if WARNING in names:
        script = _shipped_text(facts.release, SCRIPT, {})
        changes.append(change_to(home / SCRIPT, script, mode=0o755))
    changes = [_unless_edited(each, facts.recorded, notes) for each in changes]
    changes += [
        Change(file.path, file.text, switch_off(file.text, edits[file.path]))
        for file in site
        if file.path in edits
    ]
    return changes, notes


def _unless_edited(change: Change, recorded: Collection[Path], notes: list[SetupNote]) -> Change:
    """Return *change* of a file of gatepost's, or none, with a note, if it was edited by hand."""
    if (
        change.before in (None, change.after)
        or change.path in recorded
        or str(digest(change.before)).startswith(tuple(_FIRST_RELEASE))
    ):
        return replace(change, is_gateposts=True)
    notes.append(SetupNote(f"kept: {change.path}, which differs from the file of 0.1.0"))
    return replace(change, after=change.before)


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
