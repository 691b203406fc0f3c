"""Text that goes into an SMTP reply, which is ASCII (RFC 5321 4.2). Pure.

A site's texts are checked when its settings are read; text that arises later, such as an
address, is made to fit. Both services use this file, so that they reply alike.
"""

from typing import Annotated

from pydantic import AfterValidator

# The rest is for gatepost's own text: a reply line has 512 bytes (RFC 5321 4.5.3.1.5).
MAX_SITE_TEXT = 250


def one_line(text: str, longest: int) -> str:
    """Return *text* fit for a reply: printable ASCII, at most *longest* characters."""
    plain = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return plain if len(plain) <= longest else plain[: longest - 3] + "..."


def _site_text(value: str) -> str:
    if not value.isprintable():
        raise ValueError("goes into an SMTP reply: one line, no control characters")
    if not value.isascii():
        raise ValueError(
            "goes into an SMTP reply, which is ASCII: write it in English, and put text in "
            "other letters on a page that it links to"
        )
    if len(value) > MAX_SITE_TEXT:
        raise ValueError(f"goes into an SMTP reply: at most {MAX_SITE_TEXT} characters")
    return value


def _site_word(value: str) -> str:
    if not value.isprintable() or " " in value:
        raise ValueError("must be one word: no spaces, line ends or control characters")
    return _site_text(value)


SiteText = Annotated[str, AfterValidator(_site_text)]
SiteWord = Annotated[str, AfterValidator(_site_word)]
