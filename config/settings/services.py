"""[policyd], [milter], [auth] and [portal]: where the services listen, and how they behave."""

import re

from pydantic import Field, field_validator

from config.fields import Listen, Network
from config.replies import SiteWord
from config.settings.section import Section
from config.units import Address

# In Postfix's queue folder, where a service of Postfix in a chroot finds the sockets, too.
QUEUE_SOCKETS = "/var/spool/postfix/gatepost"
# As useradd(8) of Debian takes them, at most; or a uid.
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}")


class PolicydSettings(Section):
    """The Postfix policy daemon."""

    listen: tuple[Listen, ...] = Field(
        default=(Address("unix", path=f"{QUEUE_SOCKETS}/policyd.sock"),),
        min_length=1,
        strict=False,
    )


class MilterSettings(Section):
    """The milter. Over TCP, steps without a reply stall 40 ms a message: prefer unix."""

    listen: Listen = Address("unix", path=f"{QUEUE_SOCKETS}/milter.sock")


class AuthSettings(Section):
    """authd, which Dovecot's checkpassword (2.3) or Lua (2.4) asks on a unix socket."""

    listen: tuple[Listen, ...] = Field(
        default=(Address("unix", path="/run/gatepost/auth.sock"),), min_length=1, strict=False
    )
    # Users whose processes may ask, besides root (as which Dovecot's auth-worker runs): Dovecot's
    # default_internal_user.
    callers: tuple[str, ...] = Field(default=("dovecot",), strict=False)
    # Old hashes become ARGON2ID at the next login. Turn it off where another program that
    # cannot read ARGON2ID shares the table.
    upgrade_hashes: bool = True
    # How long authd remembers a password that it verified (a keyed hash, in memory only), so
    # that a phone that polls every minute does not cost an Argon2 each time. 0 turns it off.
    cache_seconds: int = Field(default=300, ge=0, le=3600)
    # Whether an account may send that still has its initial password (R3), which others may know.
    initial_may_send: bool = True

    @field_validator("listen")
    @classmethod
    def _listen_is_unix(cls, value: tuple[Address, ...]) -> tuple[Address, ...]:
        ports = [str(each) for each in value if each.kind != "unix"]
        if ports:
            raise ValueError(
                f"remove {', '.join(ports)}: authd listens on unix sockets only, as any process "
                "could ask a port (passdb.lua no longer needs one)"
            )
        return value

    @field_validator("callers")
    @classmethod
    def _callers_are_users(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for user in value:
            if not _USER.fullmatch(user):
                raise ValueError(f"{user!r} is neither a user name nor a number")
        return value


class PortalSettings(Section):
    """The self-service pages."""

    listen: Listen = Address("inet", host="127.0.0.1", port=10043)
    base_url: SiteWord = ""
    trusted_proxies: tuple[Network, ...] = Field(default=("127.0.0.1/32",), strict=False)

    @field_validator("base_url")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://")):
            raise ValueError("a base URL starts with https://")
        return value.rstrip("/")
