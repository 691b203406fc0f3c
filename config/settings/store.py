"""[store]: the database."""

from urllib.parse import urlsplit

from pydantic import field_validator

from config.settings.section import Section

# What other programs call the databases that we name as SQLAlchemy does.
_SCHEMES = {"postgres": "postgresql", "mysql": "mariadb"}


class StoreSettings(Section):
    """The database of accounts, exemptions and counters."""

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
            raise ValueError("a SQLite store is the path of a file, with nothing after it")
        if not _is_split_as_meant(value):
            raise ValueError("the port is not a number; in a password write @ as %40, / as %2F")
        return value


def _is_split_as_meant(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its text would repeat a part of the password
        return False
    return parts.netloc.count("@") <= 1
