"""[limits] and [whitelist]: sending limits, and exemptions from them."""

from typing import Literal

from pydantic import Field

from config.fields import Rates
from config.settings.section import Section
from config.units import Rate


class LimitSettings(Section):
    """Sending limits that hold for every account."""

    client: Rates = (Rate(200, 3600),)
    recipients_per_message: int = Field(default=100, ge=1)
    # How much of an IPv6 address is one client: a household or lab gets a /64 (RFC 6177).
    ipv6_prefix: int = Field(default=64, ge=16, le=128)
    charge_at: Literal["RCPT", "DATA", "END-OF-MESSAGE"] = "DATA"
    mode: Literal["enforce", "observe"] = "enforce"
    on_store_loss: Literal["local", "defer"] = "local"


class WhitelistSettings(Section):
    """Self-service registration (R13)."""

    minutes: int = Field(default=60, ge=1, le=1440)
    lifts: tuple[Literal["client", "account"], ...] = Field(default=("client",), strict=False)
