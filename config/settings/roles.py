"""[roles.NAME]: what an account may do."""

from pydantic import Field

from config.fields import Rates, Size
from config.settings.section import Section


class RoleSettings(Section):
    """What an account of this role may do."""

    mailbox: Size
    attachments: Size
    send: Rates
    whitelist_conditions: tuple[str, ...] = Field(default=(), strict=False)


# R8, R9 and R14 as shipped. A site's table for one of these changes only the keys it names.
SHIPPED_ROLES: dict[str, dict[str, object]] = {
    "staff": {
        "mailbox": "5120M",
        "attachments": "500M",
        "send": ["1000/1h", "5000/1d"],
        "whitelist_conditions": ["normal"],
    },
    "student": {
        "mailbox": "500M",
        "attachments": "50M",
        "send": ["200/1h", "500/1d"],
        "whitelist_conditions": ["normal", "resumption"],
    },
    "alumni": {
        "mailbox": "50M",
        "attachments": "10M",
        "send": ["100/1h", "200/1d"],
        "whitelist_conditions": [],
    },
}
