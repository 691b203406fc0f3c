"""Units of plain numbers, and the values people write: sizes, rates, dates, listen addresses.

Pure. Every parser raises ``ValueError`` with a text that says what is accepted.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

# What a plain number counts. For the reader; they do not tell types apart.
Bytes = Annotated[int, "bytes"]
Seconds = Annotated[float, "a duration in seconds"]
UnixSeconds = Annotated[int, "seconds since 1970-01-01 UTC"]
Monotonic = Annotated[float, "seconds of time.monotonic()"]

_SIZE = re.compile(r"([0-9]{1,19})([BKMGT])")
_BARE = re.compile(r"[0-9]{1,19}")
_FACTOR = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SPAN = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# A host name. Its last label begins with a letter: 127.0.0.300 is a typing error, not a name.
_HOST = re.compile(r"([A-Za-z0-9_-]{1,63}\.)*[A-Za-z][A-Za-z0-9_-]{0,62}")
_DAY_FIRST = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})((?: |T)[0-9:+-]+)?")
_RATE = re.compile(r"([0-9]{1,9})/([0-9]{1,6}[smhd])")

MAX_SIZE = 1 << 60  # the store's columns hold a little more; no mailbox will
# The limiter counts in sixtieths of the window; a window under a minute would
# need slots under a second.
MIN_WINDOW = 60
MAX_WINDOW = 366 * 86400  # so that a slot is about six hours at most
MAX_PORT = 65535
# sun_path holds 108 bytes with its NUL (unix(7)).
MAX_UNIX_PATH = 107


def parse_size(text: str) -> int:
    """Return bytes for ``"500M"``; K, M, G, T are powers of 1024 as in Dovecot's quota.

    A number needs its unit: 500 for a mailbox hardly means 500 bytes. 0 needs none.
    """
    bare = text.strip()
    if bare == "0":
        return 0
    found = _SIZE.fullmatch(bare)
    if not found:
        if _BARE.fullmatch(bare):
            raise ValueError(f'a size needs a unit: K, M, G or T, such as "{bare}M"; B is bytes')
        raise ValueError('a size is a number with K, M, G or T, such as "500M"')
    size = int(found[1]) * _FACTOR[found[2]]
    if size > MAX_SIZE:
        raise ValueError(f"the largest size is {MAX_SIZE // _FACTOR['T']}T")
    return size


def write_size(size: int) -> str:
    """Return the shortest form of *size* bytes that `parse_size` reads back."""
    for unit in "TGMK":
        if size and size % _FACTOR[unit] == 0:
            return f"{size // _FACTOR[unit]}{unit}"
    return f"{size}B" if size else "0"


def format_size(size: int) -> str:
    """Return *size* bytes for display: ``"10 MiB"``, exact multiples without a fraction."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return (
                f"{size // factor} {unit}" if size % factor == 0 else f"{size / factor:.1f} {unit}"
            )
    return f"{size} bytes"


def parse_span(text: str) -> int:
    """Return seconds for ``"60m"``."""
    found = _SPAN.fullmatch(text.strip())
    if not found:
        raise ValueError('a time span is a number with s, m, h or d, such as "60m"')
    return int(found[1]) * _SECONDS[found[2]]


def format_span(seconds: int) -> str:
    """Return *seconds* in words, as in "per …": ``"hour"``, ``"2 days"``, ``"90 minutes"``."""
    for unit, factor in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds % factor == 0:
            count = seconds // factor
            return unit if count == 1 else f"{count} {unit}s"
    return f"{seconds} seconds"


def parse_moment(text: str) -> datetime:
    """Return the moment of a date (2027-01-31, 31.01.2027) with or without a time of day.

    Of the day-first forms, only the one with dots means the same everywhere. The result has a
    time zone only if *text* has one.
    """
    bare = text.strip()
    if found := _DAY_FIRST.fullmatch(bare):
        bare = f"{found[3]}-{found[2]:0>2}-{found[1]:0>2}{found[4] or ''}"
    try:
        return datetime.fromisoformat(bare)
    except ValueError:
        raise ValueError(
            "a date is written 2027-01-31 or 31.01.2027, a time of it 2027-01-31T08:00"
        ) from None


@dataclass(frozen=True, slots=True, order=True)
class Rate:
    """At most *limit* recipients in any *window* seconds."""

    limit: int
    window: int

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read ``"200/1h"``."""
        found = _RATE.fullmatch(text.replace(" ", ""))
        if not found:
            raise ValueError('a rate is recipients per time, such as "200/1h" or "1000/1d"')
        window = parse_span(found[2])
        if not MIN_WINDOW <= window <= MAX_WINDOW:
            raise ValueError("the time of a rate is between 1 minute (1m) and 366 days (366d)")
        return cls(limit=int(found[1]), window=window)

    def __str__(self) -> str:
        """Return the shortest form that parses back."""
        for unit, factor in (("d", 86400), ("h", 3600), ("m", 60)):
            if self.window % factor == 0:
                return f"{self.limit}/{self.window // factor}{unit}"
        return f"{self.limit}/{self.window}s"


def reject_equal_windows(rates: tuple[Rate, ...]) -> tuple[Rate, ...]:
    """Return *rates*; raise ``ValueError`` if two have the same window, which has one counter."""
    windows = [rate.window for rate in rates]
    twice = {window for window in windows if windows.count(window) > 1}
    if twice:
        raise ValueError(f"two rates per {format_span(min(twice))}; keep one of them")
    return rates


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a listener or a peer: inet host and port, or a unix path."""

    kind: Literal["inet", "unix"]
    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read ``"inet:127.0.0.1:10040"``, ``"inet:[::1]:10040"`` or ``"unix:/run/x.sock"``."""
        kind, _, rest = text.partition(":")
        if kind == "unix" and Path(rest).is_absolute():
            if len(rest.encode()) > MAX_UNIX_PATH:
                raise ValueError(f"a unix socket path has at most {MAX_UNIX_PATH} bytes (unix(7))")
            return cls("unix", path=rest)
        host, _, port = rest.rpartition(":")
        if kind == "inet" and host and port.isascii() and port.isdigit():
            if not 0 < int(port) <= MAX_PORT:
                raise ValueError(f"a port is between 1 and {MAX_PORT}")
            return cls("inet", host=_host(host), port=int(port))
        raise ValueError('an address is "inet:HOST:PORT" or "unix:/absolute/path"')

    def __str__(self) -> str:
        """Return the form that `parse` reads."""
        if self.kind == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"inet:{host}:{self.port}"


def _host(text: str) -> str:
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not _HOST.fullmatch(host):
        try:
            ip_address(host)
        except ValueError:
            raise ValueError(f"{text!r} is neither a host name nor an IP address") from None
    return host
