"""TOML tables: lay one over another, and write them (the standard library only reads)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Table = Mapping[str, Any]


def merged(base: Table, over: Table) -> dict[str, Any]:
    """Return *base* with the keys of *over* in their place, table by table."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result


def dumps(table: Table) -> str:
    """Return *table* as TOML. JSON strings, numbers, booleans and lists are TOML too."""
    return "".join(_lines(table, ()))


def _lines(table: Table, path: tuple[str, ...]) -> Iterator[str]:
    if path:
        yield f"[{'.'.join(path)}]\n"
    for key, value in table.items():
        if not isinstance(value, Mapping):
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _lines(value, (*path, key))
