"""Postfix: the changes of main.cf that make it ask gatepost. Pure; master.cf is never touched.

gatepost is added to the site's own lists in main.cf. A service of master.cf that overrides such
a list does not ask gatepost: a note says so, with the command that adds it there.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.settings import Settings
from config.setup import main_cf, restrictions
from config.setup.part import CannotSetUp, SetupNote
from config.units import Address, Bytes, format_size

SNIPPETS = Path(__file__).parents[1] / "etc/postfix"
POLICY = "$gatepost_policy"
MILTER = "$gatepost_milter"
QUOTA = "$gatepost_quota"
QUOTA_CLASS = "gatepost_quota_status"
BLOCK = "postfix"
QUOTA_BLOCK = "quota"
RECIPIENT, DATA, END_OF_DATA = (
    "smtpd_recipient_restrictions", "smtpd_data_restrictions", "smtpd_end_of_data_restrictions",
)  # fmt: skip
# The lists in which mail is counted, by limits.charge_at. Decisions on a recipient need RCPT,
# those on a whole message DATA: gatepost is always in both.
_CHARGED = {"RCPT": (RECIPIENT,), "DATA": (DATA,), "END-OF-MESSAGE": (DATA, END_OF_DATA)}
SIZES = ("message_size_limit", "mailbox_size_limit", "virtual_mailbox_limit")
# A file grows on the wire by base64 with its line ends, 78 bytes for 57, and by headers.
_WIRE_GROWTH = 78 / 57
_HEADERS = 1 << 20
# Postfix refuses all mail (452) with less free space in its queue than 1.5 times the size limit.
_ROOM = 1.5
# How the block records which values in the site's own lines are gatepost's.
_CHANGED = re.compile(r"^# changed: (\w+) = (\S+)", re.MULTILINE)
MIN_VERSION = (3, 4)
DEFAULT_QUEUE = "/var/spool/postfix"


@dataclass(frozen=True, slots=True)
class PostfixFacts:
    """What postconf and the file system tell about a Postfix."""

    version: tuple[int, ...]
    queue_directory: str
    defaults: Mapping[str, str]  # of `SIZES` and disable_vrfy_command
    services: Sequence[str]  # "name/type" of each smtpd of master.cf
    overrides: Mapping[tuple[str, str], str]  # (service, parameter) of master.cf
    free: Bytes  # in the queue's file system


def plan(text: str, settings: Settings, facts: PostfixFacts) -> tuple[str, list[SetupNote]]:
    """Return the main.cf *text* with gatepost in it, and notes on the services it does not reach.

    Raises `CannotSetUp`.
    """
    # An earlier run's block is written again, in its place.
    after = main_cf.with_block(text, BLOCK, "") if main_cf.block(text, BLOCK) else text
    scalars = _scalars(after, settings, facts)
    _check(settings, facts, int(scalars.get("message_size_limit", "0")))
    charged = _CHARGED[settings.limits.charge_at]
    lines = _lines(settings, facts) + _record_of_values(text, after, scalars)
    for name in {RECIPIENT: 0, DATA: 0, **dict.fromkeys(charged, 0)}:
        after, line = _insert(after, name, POLICY, is_charged=name in charged)
        lines += line
    after, line = _append(after, "smtpd_milters", MILTER)
    lines += line
    for name, value in scalars.items():
        if main_cf.find(after, name) is None:
            lines += f"{name} = {value}\n"
        else:
            after = main_cf.replace(after, name, value)
    return main_cf.with_block(after, BLOCK, lines), _notes(settings, facts)


def is_set_up_by_hand(text: str) -> bool:
    """Return whether the main.cf *text* has the lines of gatepost 0.1.0."""
    return main_cf.find(text, "gatepost_inbound") is not None


def plan_quota(text: str, settings: Settings) -> str:
    """Return the main.cf *text* that asks Dovecot's quota-status about the site's own domains."""
    lines = (SNIPPETS / "quota.cf").read_text(encoding="utf-8")
    entry = "{ mail.example.edu = gatepost_quota_status }"
    entries = "\n    ".join(
        f"{{ {domain} = gatepost_quota_status }}" for domain in settings.site.domains
    )
    lines = lines.replace(entry, entries)
    after = main_cf.with_block(text, QUOTA_BLOCK, "") if main_cf.block(text, QUOTA_BLOCK) else text
    after, line = _append(after, "smtpd_restriction_classes", QUOTA_CLASS)
    lines += line
    after, line = _insert(after, RECIPIENT, QUOTA, is_charged=False)
    return main_cf.with_block(after, QUOTA_BLOCK, lines + line)


def without(text: str, before: str | None = None) -> str:
    """Return the main.cf *text* without what `plan` added; everything else stays.

    Sizes still as `plan` set them return to their values in *before*, the original file.
    """
    changed = _CHANGED.findall(main_cf.block(text, BLOCK) or "")
    text = main_cf.without_block(text, BLOCK)
    for name in (RECIPIENT, DATA, END_OF_DATA, "smtpd_milters"):
        for word in (POLICY, MILTER):
            if found := main_cf.find(text, name):
                text = restrictions.remove(text, found, word)
    for name, value in changed:
        found, old = main_cf.find(text, name), main_cf.find(before or "", name)
        if found and old and found.text == value:
            text = main_cf.replace(text, name, old.text)
    return text


def without_quota(text: str) -> str:
    """Return the main.cf *text* without what `plan_quota` added."""
    text = main_cf.without_block(text, QUOTA_BLOCK)
    for name, word in ((RECIPIENT, QUOTA), ("smtpd_restriction_classes", QUOTA_CLASS)):
        if found := main_cf.find(text, name):
            text = restrictions.remove(text, found, word)
    return text


def address(listen: Address, queue_directory: str) -> str:
    """Return *listen* as it must be written in main.cf.

    A unix socket in the queue's folder is named relative to it: that name is right inside and
    outside the chroot of a service, since all of Postfix's daemons work in that folder.
    """
    if listen.kind == "unix":
        inside = listen.path.removeprefix(f"{queue_directory.rstrip('/')}/")
        return f"unix:{inside}"
    return str(listen)


def _check(settings: Settings, facts: PostfixFacts, limit: int) -> None:
    if facts.version < MIN_VERSION:
        raise CannotSetUp("Postfix 3.4 or later is required")
    for key, listen in (
        ("policyd", settings.policyd.listen[0]),
        ("milter", settings.milter.listen),
    ):
        where = address(listen, facts.queue_directory)
        if where.startswith("unix:/"):
            raise CannotSetUp(
                f"gatepost.toml: {key}.listen: {listen} is outside Postfix's queue folder, where "
                f"a service in a chroot cannot see it: use "
                f'"unix:{facts.queue_directory}/gatepost/{key}.sock" and run '
                "`gatepost setup system --apply`"
            )
    if facts.free < limit * _ROOM:
        raise CannotSetUp(
            f"{facts.queue_directory} has {format_size(facts.free)} free. For attachments of "
            f"{format_size(_largest(settings))} (roles.*.attachments) Postfix must accept messages "
            f"of {format_size(limit)}, and then refuses all mail with less than "
            f"{format_size(int(limit * _ROOM))} free: lower the roles' limits or free some space"
        )


def _largest(settings: Settings) -> int:
    return max(role.attachments for role in settings.roles.values())


def _scalars(text: str, settings: Settings, facts: PostfixFacts) -> dict[str, str]:
    """Return the parameters to change, with their new values."""
    wire = math.ceil(_largest(settings) * _WIRE_GROWTH) + _HEADERS
    wanted = {}
    for name in SIZES:
        now = _value(text, name, facts)
        if not now.isdigit():
            raise CannotSetUp(f"main.cf: {name} = {now}: not a number; use one")
        # 0 is "no limit". The second and third bind only Postfix's own delivery agents, which
        # refuse to start with less than the first.
        if 0 < int(now) < wire:
            wanted[name] = str(wire)
    # VRFY runs the recipient restrictions: it would tell strangers which addresses exist.
    if _value(text, "disable_vrfy_command", facts) != "yes":
        wanted["disable_vrfy_command"] = "yes"
    return wanted


def _value(text: str, name: str, facts: PostfixFacts) -> str:
    found = main_cf.find(text, name)
    return facts.defaults[name] if found is None else found.text


def _lines(settings: Settings, facts: PostfixFacts) -> str:
    lines = (SNIPPETS / "main.cf").read_text(encoding="utf-8")
    for default, listen in (
        ("unix:gatepost/policyd.sock", settings.policyd.listen[0]),
        ("unix:gatepost/milter.sock", settings.milter.listen),
    ):
        lines = lines.replace(default, address(listen, facts.queue_directory))
    return lines


def _record_of_values(text: str, bare: str, scalars: Mapping[str, str]) -> str:
    """Return the comments by which `without` finds the values that `plan` set."""
    before = _CHANGED.findall(main_cf.block(text, BLOCK) or "")
    still = {n: v for n, v in before if (found := main_cf.find(bare, n)) and found.text == v}
    raised = {**still, **scalars}
    return "".join(f"# changed: {name} = {value}\n" for name, value in raised.items())


def _insert(text: str, name: str, word: str, *, is_charged: bool) -> tuple[str, str]:
    """Return *text* with *word* reached in the list *name*, or a line for the block if unset.

    Where mail is counted, nothing before *word* may let mail pass. Elsewhere an access map stays
    before it: most are lists of clients to refuse, and mail they let pass is still counted later.
    """
    value = main_cf.find(text, name)
    if value is None:
        return text, f"{name} = {word}\n"
    lookup = _lookup(text)
    if restrictions.is_reached(value.text, word, lookup):
        return text, ""
    index = restrictions.position(
        value.text, lookup, behind_relay_control=name == RECIPIENT, maps=is_charged
    )
    return restrictions.insert(text, value, index, word), ""


def _append(text: str, name: str, word: str) -> tuple[str, str]:
    value = main_cf.find(text, name)
    if value is None:
        return text, f"{name} = {word}\n"
    found = restrictions.items(value.text)
    if any(each.words == (word,) for each in found):
        return text, ""
    return restrictions.insert(text, value, len(found), word), ""


def _lookup(text: str) -> restrictions.Lookup:
    def lookup(name: str) -> str | None:
        found = main_cf.find(text, name)
        return None if found is None else found.text

    return lookup


def _notes(settings: Settings, facts: PostfixFacts) -> list[SetupNote]:
    """Return a note on each service of master.cf that overrides a list gatepost must be in."""
    notes = []
    for service in facts.services:
        if service.startswith(("127.", "[::1]", "localhost:")):
            continue  # mail coming back from a content filter: gatepost was asked about it already
        for name in _CHARGED[settings.limits.charge_at]:
            own = facts.overrides.get((service, name))
            if own is not None and POLICY not in own:
                text = f"master.cf: {service} overrides {name}: mail through it is not limited"
                notes.append(SetupNote(text, _mend(service, name, POLICY, own)))
        own = facts.overrides.get((service, "smtpd_milters"))
        if own is not None and MILTER not in own:
            text = (
                f"master.cf: {service} overrides smtpd_milters: mail through it is neither "
                "measured nor tagged"
            )
            notes.append(SetupNote(text, _mend(service, "smtpd_milters", MILTER, own)))
    return notes


def _mend(service: str, name: str, word: str, own: str) -> str:
    # postconf -P accepts no spaces in a value.
    parts = [
        ",".join(item.words) if len(item.words) == 1 else "" for item in restrictions.items(own)
    ]
    if "" in parts:
        return f"add {word} to it by hand"
    parts = [*parts, word] if name == "smtpd_milters" else [word, *parts]
    return f"postconf -P '{service}/{name}={','.join(parts)}'"
