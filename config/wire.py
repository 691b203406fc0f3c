"""What a message counts against an attachment limit by its size on the wire alone. Pure.

policyd refuses by it at RCPT, from the declared SIZE, and the milter counts at least
as much once it has the message: one rule in one place, so that they cannot disagree.
"""

# What a message may hold beside its files: a book of plain text has a megabyte.
ALLOWANCE = 1 << 20
# Base64 puts 57 bytes into a line of 76 characters and CRLF: 78 / 57.
_BASE64_GROWTH_PERCENT = 137


def least(size: int) -> int:
    """Return what a message of *size* bytes counts at least: all of it a file in base64."""
    return -(max(0, size - ALLOWANCE) * -100 // _BASE64_GROWTH_PERCENT)  # rounded up
