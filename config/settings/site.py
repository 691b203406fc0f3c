"""[site]: domains, addresses and places of this site."""

import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from config.fields import Domain, Listen, Network
from config.replies import SiteWord
from config.settings.section import Section
from config.units import Address

# Enough to tell an address from a slip; whether the mailbox exists is not checked.
_MAILBOX = re.compile(r"[^@<>,;]+@[^@<>,;]+")
MAX_ID = 2**32 - 2  # of a user or group; the one above means "none" (chown(2))
# Postfix accepts any character; a letter, a digit or @ would split names and addresses themselves.
_DELIMITERS = re.compile(r"[!-/:-?\[-`{-~]*")


class SiteSettings(Section):
    """This site."""

    domains: tuple[Domain, ...] = Field(min_length=1, strict=False)
    # The characters at which an address's extension begins, as in Postfix.
    recipient_delimiter: str = "+"
    campus_domains: tuple[Domain, ...] = Field(default=(), strict=False)
    campus_networks: tuple[Network, ...] = Field(default=(), strict=False)
    postmaster: SiteWord = ""
    help_url: SiteWord = ""
    mail_home: str = "/var/vmail/{name}"
    mail_uid: int = Field(default=5000, ge=1, le=MAX_ID)
    mail_gid: int = Field(default=5000, ge=1, le=MAX_ID)
    # The key of the keyed hashes (identity data). Apart from the store, so that a stolen
    # database alone reveals nothing.
    key_file: str = "/etc/gatepost/secret.key"
    # Where gatepost's own mail, such as a delivery status notification, goes to Postfix.
    smtp: Listen = Address("inet", host="127.0.0.1", port=25)
    # The program that sends the notices of `gatepost maintain`.
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
            raise ValueError("a mail home has no braces other than {name}")
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
