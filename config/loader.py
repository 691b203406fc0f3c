"""Read gatepost.toml into `Settings`, or say exactly what is wrong with it.

Trusts nothing in the file. Reads at most `MAX_FILE` bytes. Every problem names
file, key, value and cure; all are reported at once (exit 78 at the edge).
"""

import difflib
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config import text
from config.settings import SHIPPED_ROLES, RoleSettings, Settings

DEFAULT_PATH = Path("/etc/gatepost/gatepost.toml")
MAX_FILE = 1 << 20  # a configuration of a megabyte is some other file
# pydantic's messages speak of Python; these speak of TOML.
_PLAIN = {
    "too_short": "must not be empty",
    "tuple_type": 'must be a list, such as ["…"]',
    "int_type": "must be a whole number, without quotes",
    "string_type": "must be a string, in quotes",
    "bool_type": "must be true or false",
    "model_type": "must be a table, written as a [section]",
    "model_attributes_type": "must be a table, written as a [section]",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "dict_type": "must be a table, written as a [section]",
}
# Keys of earlier releases: read and ignored, with a warning that names the cure.
RETIRED = {
    "policyd.workers": "no longer used, remove it; to use more cores, start more instances: "
    "systemctl enable --now gatepost-policyd@2 (PostgreSQL or MariaDB only)",
}
MAX_SHOWN = 60  # characters of a bad value that an error repeats


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: the dotted *key* (empty for the file itself) and what to do."""

    key: str
    text: str


class Loaded(NamedTuple):
    """A configuration that can be used."""

    settings: Settings
    warnings: list[Problem]


class ConfigError(Exception):
    """The configuration cannot be used. ``str()`` is one line for each problem."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        """Keep *path* and *problems* for `str` and for ``--json``."""
        self.path = path
        self.problems = problems
        super().__init__(
            "\n".join(
                f"{path}: {p.key}: {p.text}" if p.key else f"{path}: {p.text}" for p in problems
            )
        )


def find(option: str | None = None) -> Path:
    """Return the file to read: ``--config``, then ``GATEPOST_CONFIG``, then the default."""
    return Path(option or os.environ.get("GATEPOST_CONFIG") or DEFAULT_PATH)


def load(path: Path) -> Settings:
    """Return the settings in *path*; raise `ConfigError`."""
    return load_with_warnings(path).settings


def load_with_warnings(path: Path) -> Loaded:
    """Return the settings in *path* and the keys in it that no longer count; see `load`."""
    return parse(_read(path), path)


def parse(text: str, path: Path) -> Loaded:
    """Return what *text* (of *path*) means; raise `ConfigError`."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(path, [Problem("", f"not valid TOML: {error}")]) from None
    warnings = _drop_retired(table)
    try:
        return Loaded(Settings.model_validate(table), warnings)
    except ValidationError as error:
        # For a list whose only item is bad, pydantic also reports "too short".
        details = [d for d in error.errors() if not (d["type"] == "too_short" and d["input"])]
        raise ConfigError(path, [_problem(detail) for detail in details]) from None


def _drop_retired(table: dict[str, Any]) -> list[Problem]:
    """Remove from *table* the keys of earlier releases; return a warning for each."""
    warnings = []
    for key, cure in RETIRED.items():
        section, name = key.split(".")
        values = table.get(section)
        if isinstance(values, dict) and name in values:
            del values[name]
            warnings.append(Problem(key, cure))
    return warnings


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        cure = f"no such file; name one with --config or GATEPOST_CONFIG, or create {DEFAULT_PATH}"
        raise ConfigError(path, [Problem("", cure)]) from None
    except OSError as error:
        raise ConfigError(path, [Problem("", f"cannot be read: {error.strerror}")]) from None
    if len(raw) > MAX_FILE:
        raise ConfigError(
            path, [Problem("", f"larger than {MAX_FILE} bytes; is this the right file?")]
        )
    try:
        decoded = text.decode(raw)
        for number, line in enumerate(text.lines(decoded), 1):
            text.check(line, number=number)
    except text.NotText as error:
        raise ConfigError(path, [Problem("", str(error))]) from None
    return decoded


def _problem(detail: ErrorDetails) -> Problem:
    key = _dotted(detail["loc"])
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return Problem(key, _unknown(detail["loc"]))
    if kind == "missing":
        return Problem(key, "is missing and has no default" + _near_role(detail["loc"]))
    if key == "store.url":
        value = "(not shown: it may hold a password)"
    context = detail.get("ctx", {})
    if kind == "value_error" and isinstance(value, dict):
        return Problem(key, str(context["error"]))  # its text names the key
    plain = _PLAIN.get(kind)
    reason = plain.format(**context) if plain else str(context.get("error") or detail["msg"])
    return Problem(key, f"{_format_value(value)}: {reason}")


def _near_role(loc: tuple[int | str, ...]) -> str:
    """Return a hint: a misspelt role looks like a new one that lacks keys."""
    if loc[0] != "roles":
        return ""
    near = difflib.get_close_matches(str(loc[1]), SHIPPED_ROLES, n=1)
    return f"; did you mean roles.{near[0]}?" if near else " for a role that is not shipped"


def _dotted(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _format_value(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _unknown(loc: tuple[int | str, ...]) -> str:
    *parents, key = (str(part) for part in loc)
    known = _keys_of(tuple(parents))
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"unknown key; did you mean {'.'.join((*parents, near[0]))}?"
    elsewhere = [f"{name}.{key}" for name in Settings.model_fields if key in _keys_of((name,))]
    if elsewhere and parents:
        return f"unknown key; did you mean {elsewhere[0]}?"
    return f"unknown key; known here: {', '.join(known)}"


def _keys_of(parents: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in parents:
        if model is Settings and part == "roles":
            return sorted(RoleSettings.model_fields)
        found = model.model_fields[part].annotation
        options = [o for o in (found, *get_args(found)) if o is not NoneType]
        model = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return sorted(model.model_fields)
