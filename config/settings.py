"""Typed settings: every key of gatepost.toml, its default and what it accepts.

Made once at start by `config.loader.load` and passed down; nothing reads
settings globally. Values arrive here as TOML gives them and leave as typed,
frozen objects: sizes in bytes, rates as `Rate`, listen addresses as `Address`.
"""

import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from config.fields import Domain, Listen, Network, Rates, Size, Spamd
from config.replies import SiteText, SiteWord
from config.units import Address, Rate

# Enough to tell an address from a slip; which mailboxes exist is not ours to judge.
_MAILBOX = re.compile(r"[^@<>,;]+@[^@<>,;]+")
# What other programs call the databases that we name as SQLAlchemy does.
_SCHEMES = {"postgres": "postgresql", "mysql": "mariadb"}
# In Postfix's queue folder, so that a service of Postfix in a chroot finds the sockets, too.
QUEUE_SOCKETS = "/var/spool/postfix/gatepost"
MAX_ID = 2**32 - 2  # of a user or group; the one above means "none" (chown(2))
# As useradd(8) of Debian takes them, at most; or a uid.
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}")
# Postfix takes any; a letter, a digit or @ would cut names and addresses themselves.
_DELIMITERS = re.compile(r"[!-/:-?\[-`{-~]*")
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def _is_split_as_meant(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its text would repeat a part of the password
        return False
    return parts.netloc.count("@") <= 1


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True
    )


class SiteSettings(_Section):
    """Who we are."""

    domains: tuple[Domain, ...] = Field(min_length=1, strict=False)
    # The characters at which an address's extension begins, as Postfix has them.
    recipient_delimiter: str = "+"
    campus_domains: tuple[Domain, ...] = Field(default=(), strict=False)
    campus_networks: tuple[Network, ...] = Field(default=(), strict=False)
    postmaster: SiteWord = ""
    help_url: SiteWord = ""
    mail_home: str = "/var/vmail/{name}"
    mail_uid: int = Field(default=5000, ge=1, le=MAX_ID)
    mail_gid: int = Field(default=5000, ge=1, le=MAX_ID)
    # The key of the keyed hashes (identity data). Apart from the store, so that
    # a stolen database alone tells nothing.
    key_file: str = "/etc/gatepost/secret.key"
    # Where our own mail, such as a delivery status notice, is handed to Postfix.
    smtp: Listen = Address("inet", host="127.0.0.1", port=25)

    # The program that takes the mails of `gatepost maintain` to people.
    sendmail: str = "/usr/sbin/sendmail"

    @field_validator("smtp")
    @classmethod
    def _smtp_is_inet(cls, value: Address) -> Address:
        if value.kind != "inet":
            raise ValueError('Postfix takes mail at "inet:HOST:PORT"')
        return value

    @field_validator("mail_home")
    @classmethod
    def _home_has_name(cls, value: str) -> str:
        rest = value.replace("{name}", "")
        if rest == value or not value.startswith("/"):
            raise ValueError("a mail home is an absolute path with {name} in it")
        if {"{", "}"} & set(rest) or not value.isprintable():
            raise ValueError("a mail home has no braces but those of {name}")
        return value

    @field_validator("recipient_delimiter")
    @classmethod
    def _delimiters_are_marks(cls, value: str) -> str:
        if not _DELIMITERS.fullmatch(value):
            raise ValueError('delimiters are punctuation marks other than @, such as "+" or "-+"')
        return value

    @field_validator("postmaster")
    @classmethod
    def _postmaster_is_an_address(cls, value: str) -> str:
        if value and not _MAILBOX.fullmatch(value):
            raise ValueError('a postmaster is an address like "postmaster@mail.example.edu"')
        return value

    @field_validator("key_file", "sendmail")
    @classmethod
    def _file_is_absolute(cls, value: str) -> str:
        if not value.startswith("/") or value.endswith("/"):
            raise ValueError("a file is named by its absolute path")
        return value

    @model_validator(mode="after")
    def _postmaster_default(self) -> Self:
        if not self.postmaster:
            object.__setattr__(self, "postmaster", f"postmaster@{self.domains[0]}")
        return self


class StoreSettings(_Section):
    """Where people, exemptions and counters live."""

    url: str

    @field_validator("url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        scheme, _, rest = value.partition("://")
        if scheme in _SCHEMES:
            raise ValueError(f"write {_SCHEMES[scheme]}://…")
        if not value.startswith(("sqlite:////", "postgresql://", "mariadb://")):
            raise ValueError(
                'a store is "sqlite:////absolute/path", "postgresql://…" or "mariadb://…"'
            )
        if scheme == "sqlite" and (rest.endswith("/") or {"?", "#"} & set(rest)):
            raise ValueError("a SQLite store is the path of a file and nothing after it")
        if not _is_split_as_meant(value):
            raise ValueError("the port is no number; in a password write @ as %40, / as %2F")
        return value


class RoleSettings(_Section):
    """What an account of this role may do."""

    mailbox: Size
    attachments: Size
    send: Rates
    whitelist_conditions: tuple[str, ...] = Field(default=(), strict=False)


class LimitSettings(_Section):
    """Sending limits that hold for everybody."""

    client: Rates = (Rate(200, 3600),)
    recipients_per_message: int = Field(default=100, ge=1)
    # How much of an IPv6 address is one client: a household or lab gets a /64 (RFC 6177).
    ipv6_prefix: int = Field(default=64, ge=16, le=128)
    charge_at: Literal["RCPT", "DATA", "END-OF-MESSAGE"] = "DATA"
    mode: Literal["enforce", "observe"] = "enforce"
    on_store_loss: Literal["local", "defer"] = "local"


class WhitelistSettings(_Section):
    """Self-service registration (R13)."""

    minutes: int = Field(default=60, ge=1, le=1440)
    lifts: tuple[Literal["client", "account"], ...] = Field(default=("client",), strict=False)


class AttachmentSettings(_Section):
    """Attachment limits (R9)."""

    applies_to: Literal["recipient", "sender", "both"] = "recipient"
    advice: SiteText = "Send a cloud link instead."
    # Mail that fits some recipients only, from a sender who signed in.
    mixed: Literal["deliver", "refuse"] = "deliver"


class SpamSettings(_Section):
    """The spam verdict and its tag (R10)."""

    spamd: Spamd = Address("inet", host="127.0.0.1", port=783)
    subject_tag: str = Field(default="***SPAM*** ", min_length=1, max_length=64)
    scan: Size = Field(default=512 * 1024, ge=1024)
    on_spamd_loss: Literal["deliver", "tempfail"] = "deliver"
    scan_authenticated: bool = True
    trusted: tuple[Network, ...] = Field(default=(), strict=False)

    @field_validator("subject_tag")
    @classmethod
    def _tag_is_a_header_text(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("a subject tag is seen: not only blanks")
        if not value.isascii() or not value.isprintable():
            raise ValueError("a subject tag is printable ASCII (it stands raw in a header)")
        return value


class PolicydSettings(_Section):
    """The Postfix policy daemon."""

    listen: tuple[Listen, ...] = Field(
        default=(Address("unix", path=f"{QUEUE_SOCKETS}/policyd.sock"),),
        min_length=1,
        strict=False,
    )


class MilterSettings(_Section):
    """The milter. Over TCP, steps without a reply stall 40 ms a message: prefer unix."""

    listen: Listen = Address("unix", path=f"{QUEUE_SOCKETS}/milter.sock")


class AuthSettings(_Section):
    """authd, asked by Dovecot's checkpassword (2.3) or Lua (2.4) on a unix socket."""

    listen: tuple[Listen, ...] = Field(
        default=(Address("unix", path="/run/gatepost/auth.sock"),), min_length=1, strict=False
    )
    # Users whose processes may ask, beside root (as whom Dovecot's auth-worker runs): Dovecot's
    # default_internal_user.
    callers: tuple[str, ...] = Field(default=("dovecot",), strict=False)
    # Old hashes become ARGON2ID at the next login. Off where another program that
    # cannot read ARGON2ID shares the table.
    upgrade_hashes: bool = True
    # How long authd remembers a password it verified (a keyed hash, in memory only):
    # a phone that polls every minute need not cost an Argon2 each. 0 turns it off.
    cache_seconds: int = Field(default=300, ge=0, le=3600)
    # Whether an account still on its initial password (R3), which others may know, may send.
    initial_may_send: bool = True

    @field_validator("listen")
    @classmethod
    def _listen_is_unix(cls, value: tuple[Address, ...]) -> tuple[Address, ...]:
        ports = [str(each) for each in value if each.kind != "unix"]
        if ports:
            raise ValueError(
                f"take out {', '.join(ports)}: authd listens on unix sockets only, as any process "
                "could ask a port (passdb.lua needs none any more)"
            )
        return value

    @field_validator("callers")
    @classmethod
    def _callers_are_users(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for user in value:
            if not _USER.fullmatch(user):
                raise ValueError(f"{user!r} is neither a user's name nor a number")
        return value


class PortalSettings(_Section):
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


class Settings(_Section):
    """The whole of gatepost.toml."""

    site: SiteSettings
    store: StoreSettings
    roles: dict[str, RoleSettings]
    limits: LimitSettings = LimitSettings()
    whitelist: WhitelistSettings = WhitelistSettings()
    attachments: AttachmentSettings = AttachmentSettings()
    spam: SpamSettings = SpamSettings()
    policyd: PolicydSettings = PolicydSettings()
    milter: MilterSettings = MilterSettings()
    auth: AuthSettings = AuthSettings()
    portal: PortalSettings = PortalSettings()

    @model_validator(mode="before")
    @classmethod
    def _shipped_roles(cls, value: object) -> object:
        """Lay the site's role tables over the shipped ones."""
        if not isinstance(value, dict):
            return value
        roles = value.get("roles", {})
        if not isinstance(roles, dict):
            return value
        merged: dict[str, object] = {**SHIPPED_ROLES, **roles}
        for name, table in roles.items():
            if isinstance(table, dict):
                merged[name] = {**SHIPPED_ROLES.get(name, {}), **table}
        return {**value, "roles": merged}

    @model_validator(mode="after")
    def _one_service_an_address(self) -> Self:
        taken: dict[Address, str] = {}
        for name, listen in (
            ("policyd.listen", self.policyd.listen),
            ("milter.listen", (self.milter.listen,)),
            ("auth.listen", self.auth.listen),
            ("portal.listen", (self.portal.listen,)),
        ):
            for address in listen:
                if address in taken:
                    raise ValueError(f"{address} stands twice: {taken[address]} and {name}")
                taken[address] = name
        return self

    @field_validator("roles")
    @classmethod
    def _role_names(cls, value: dict[str, RoleSettings]) -> dict[str, RoleSettings]:
        for name in value:
            if not _ROLE.fullmatch(name):
                raise ValueError(f"a role name is lower-case letters, digits, - and _: {name!r}")
        return value
