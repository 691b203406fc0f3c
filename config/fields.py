"""The types of the values in gatepost.toml: values as TOML gives them in, typed values out.

Each error says what the type accepts (`config.loader` shows it to the operator).
"""

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from config.units import MAX_SIZE, Address, Rate, parse_size, reject_equal_windows

# Labels of 1 to 63 letters, digits and hyphens (RFC 1035 2.3.1), lower-cased.
_DOMAIN = re.compile(
    r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
)


def _domain(value: object) -> object:
    if not isinstance(value, str):
        return value
    name = value.strip().rstrip(".").lower()
    if not _DOMAIN.fullmatch(name):
        raise ValueError('a domain name is written like "mail.example.edu"')
    return name


def _size(value: object) -> object:
    if isinstance(value, str):
        return parse_size(value)
    if isinstance(value, bool) or value != 0:
        raise ValueError('a size is a string with K, M, G or T, such as "500M"')
    return value


def _rate(value: object) -> object:
    if isinstance(value, Rate):
        return value
    return Rate.parse(value if isinstance(value, str) else "")


def _address(value: object) -> object:
    if isinstance(value, Address):
        return value
    return Address.parse(value if isinstance(value, str) else "")


def _spamd(value: object) -> object:
    """Read an address of spamd as spamc(1) writes it: ``host:port``, ``unix:/path``, or none."""
    if value is None or isinstance(value, Address):
        return value
    if not isinstance(value, str):
        raise ValueError('spamd is "HOST:PORT", "unix:/absolute/path", or "" for none')
    if value == "":
        return None
    try:
        return Address.parse(value if value.startswith(("unix:", "inet:")) else f"inet:{value}")
    except ValueError as error:
        raise ValueError(str(error).replace('"inet:HOST:PORT"', '"HOST:PORT"')) from None


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return str(ip_network(value))
    except ValueError as error:
        raise ValueError(f'a network is written like "192.0.2.0/24": {error}') from None


Domain = Annotated[str, BeforeValidator(_domain)]
Size = Annotated[int, BeforeValidator(_size), Field(ge=0, le=MAX_SIZE)]
RateT = Annotated[Rate, BeforeValidator(_rate)]
Rates = Annotated[tuple[RateT, ...], AfterValidator(reject_equal_windows), Field(strict=False)]
Listen = Annotated[Address, BeforeValidator(_address)]
Spamd = Annotated[Address | None, BeforeValidator(_spamd)]
Network = Annotated[str, BeforeValidator(_network)]
