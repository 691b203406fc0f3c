"""The mail that tells people what their graduation changed. Pure."""

from datetime import UTC, datetime

from config.settings import Settings
from config.units import Bytes, UnixSeconds, format_size
from store.people.graduation_plan import ROLE, STUDENT, Graduate
from store.people.notices import NewNotice


def graduation_notice(
    settings: Settings, name: str, graduate: Graduate, at: UnixSeconds
) -> NewNotice:
    """Return the notice to the account *name*, which graduated *at* that time."""
    is_student = (graduate.role, graduate.to) == (STUDENT, ROLE)
    return NewNotice(
        kind="graduated",
        dedupe=dedupe_key(graduate.account, at),
        recipient=f"{name}@{settings.site.domains[0]}",
        subject=f"Your mail account {'after graduation' if is_student else 'changed'}",
        text=_text(settings, graduate, is_student=is_student),
        created_at=at,
    )


def dedupe_key(account: int, at: UnixSeconds) -> str:
    """Return the key that lets one graduation send one notice."""
    return f"graduated {account} {at}"


def _text(settings: Settings, graduate: Graduate, *, is_student: bool) -> str:
    old, new = _format_quota(graduate.old_quota), _format_quota(graduate.new_quota)
    text = (
        "You have graduated. You keep your mail account; it is now an alumni account.\n"
        if is_student
        else f"Your account type changed from {graduate.role} to {graduate.to}.\n"
    )
    if graduate.keeps_until is None:
        text += f"Your mailbox quota is now {new} (was {old}).\n"
    else:
        day = datetime.fromtimestamp(graduate.keeps_until, UTC).strftime("%Y-%m-%d")
        used = (
            ""
            if graduate.used is None
            else f" Your mailbox currently uses {format_size(graduate.used)}."
        )
        text += (
            f"Your mailbox quota will be {new} instead of {old}.\n"
            f"\nUntil {day} the old quota still applies.{used} If your mailbox is larger than\n"
            "the new quota after that day, it receives no new mail until you delete some. We\n"
            "delete none of your mail.\n"
        )
    if settings.site.help_url:
        text += f"\n{settings.site.help_url}\n"
    return text


def _format_quota(size: Bytes) -> str:
    return format_size(size) if size else "unlimited"
