"""The attachment size that follows from the size of a message on the wire alone. Pure.

policyd refuses by it at RCPT, from the declared SIZE, and the milter counts at least as much
once it has the message: one rule in one place, so that they cannot disagree.
"""

# Everything in a message that is not a file; a book of plain text has a megabyte.
ALLOWANCE = 1 << 20
# Base64 puts 57 bytes into a line of 76 characters and CRLF: 78 / 57.
_BASE64_GROWTH_PERCENT = 137


def least(size: int) -> int:
    """Return the least a message of *size* bytes counts: as if all of it were base64 files."""
    return -(max(0, size - ALLOWANCE) * -100 // _BASE64_GROWTH_PERCENT)  # rounded up
