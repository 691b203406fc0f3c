"""[attachments] and [spam]: what the milter checks."""

from typing import Literal

from pydantic import Field, field_validator

from config.fields import Network, Size, Spamd
from config.replies import SiteText
from config.settings.section import Section
from config.units import Address


class AttachmentSettings(Section):
    """Attachment limits (R9)."""

    applies_to: Literal["recipient", "sender", "both"] = "recipient"
    advice: SiteText = "Send a cloud link instead."
    # Mail that fits some recipients only, from a sender who signed in.
    mixed: Literal["deliver", "refuse"] = "deliver"


class SpamSettings(Section):
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
            raise ValueError("a subject tag must not be blank")
        if not value.isascii() or not value.isprintable():
            raise ValueError("a subject tag is printable ASCII (it goes into a header as it is)")
        return value
