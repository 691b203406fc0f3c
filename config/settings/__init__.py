"""Typed settings: every key of gatepost.toml, its default and what it accepts.

`config.loader.load` creates them once at the start and passes them down; nothing reads settings
globally. Values arrive as TOML gives them and leave as typed, frozen objects: sizes in bytes,
rates as `Rate`, listen addresses as `Address`.
"""

import re
from typing import Self

from pydantic import field_validator, model_validator

from config.settings.limits import LimitSettings, WhitelistSettings
from config.settings.mail import AttachmentSettings, SpamSettings
from config.settings.roles import SHIPPED_ROLES, RoleSettings
from config.settings.section import Section
from config.settings.services import AuthSettings, MilterSettings, PolicydSettings, PortalSettings
from config.settings.site import SiteSettings
from config.settings.store import StoreSettings
from config.units import Address

__all__ = ["SHIPPED_ROLES", "LimitSettings", "RoleSettings", "Settings", "SiteSettings"]
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class Settings(Section):
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
                    raise ValueError(f"{address} is used twice: {taken[address]} and {name}")
                taken[address] = name
        return self

    @field_validator("roles")
    @classmethod
    def _role_names(cls, value: dict[str, RoleSettings]) -> dict[str, RoleSettings]:
        for name in value:
            if not _ROLE.fullmatch(name):
                raise ValueError(f"a role name is lower-case letters, digits, - and _: {name!r}")
        return value
