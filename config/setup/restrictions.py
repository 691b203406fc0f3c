"""Where gatepost goes in a list of Postfix restrictions, so that it is reached. Pure.

Postfix evaluates a list from the left and stops at the first restriction that permits or
rejects (access(5), postconf(5)). A word after one that permits everything is never reached.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from config.setup.main_cf import Value

# Restrictions that take an argument (postconf(5), smtpd_*_restrictions).
_WITH_ARGUMENT = re.compile(
    r"check_\w+|reject_rbl_client|reject_rhsbl_\w+|permit_dnswl_client|permit_rhswl_client|sleep"
)
# Lookups whose result may be OK, which permits and ends the list.
_ACCESS_MAP = re.compile(r"check_\w+_access|[a-z]+:.*")
_UNAUTHORIZED = {"reject_unauth_destination", "defer_unauth_destination"}
_SEPARATORS = ", \t\r\n"
# A macro that names itself would never end.
MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Item:
    """One restriction with its argument: its place in the value, and its words."""

    start: int
    end: int
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """The restriction itself, without ``warn_if_reject`` before it."""
        return self.words[1] if self.words[0] == "warn_if_reject" else self.words[0]

    def __str__(self) -> str:
        """Return it as it is written in the list."""
        return " ".join(self.words)


# Returns the value of a macro or a restriction class, ``None`` if there is none.
Lookup = Callable[[str], str | None]


def items(text: str) -> list[Item]:
    """Return the restrictions in the list *text*, in order."""
    found: list[Item] = []
    words = list(_words(text))
    while words:
        start, end, word = words.pop(0)
        parts = [word]
        while words and (word == "warn_if_reject" or _WITH_ARGUMENT.fullmatch(word)):
            _, end, word = words.pop(0)
            parts.append(word)
            if parts[-2] != "warn_if_reject":
                break
        found.append(Item(start, end, tuple(parts)))
    return found


def _words(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the words of a list; ``{ … }`` is one word, as in Postfix 3.0 and later."""
    position = 0
    while position < len(text):
        if text[position] in _SEPARATORS:
            position += 1
            continue
        start, depth = position, 0
        while position < len(text) and (depth or text[position] not in _SEPARATORS):
            depth += {"{": 1, "}": -1}.get(text[position], 0)
            position += 1
        yield start, position, text[start:position]


def ends_the_list(item: Item, lookup: Lookup, *, maps: bool, depth: int = 0) -> bool:
    """Return whether *item* may let mail pass before the rest of the list is evaluated.

    With *maps*, a lookup in an access map counts as well: its result may be OK.
    """
    name = item.name
    if name.startswith("permit") or name in ("reject", "defer"):
        return True
    if _ACCESS_MAP.fullmatch(name):
        return maps
    inner = None if name.startswith("check_") else lookup(macro(name))
    if inner is None or depth >= MAX_DEPTH:
        return inner is not None
    return any(ends_the_list(each, lookup, maps=maps, depth=depth + 1) for each in items(inner))


def macro(name: str) -> str:
    """Return the parameter that ``$name``, ``${name}`` or ``$(name)`` stands for."""
    return name.lstrip("$").strip("{}()")


def position(
    text: str, lookup: Lookup, *, behind_relay_control: bool = False, maps: bool = True
) -> int:
    """Return the index of the item that a new word must precede to be reached.

    That is the end of the list if nothing ends it before. With *behind_relay_control* the word
    follows ``reject_unauth_destination``, so that attempts to relay are never asked about.
    """
    found = items(text)
    first = 0
    if behind_relay_control:
        first = max(
            (i + 1 for i, each in enumerate(found) if each.name in _UNAUTHORIZED), default=0
        )
    for index in range(first, len(found)):
        if ends_the_list(found[index], lookup, maps=maps):
            return index
    return len(found)


def is_reached(text: str, word: str, lookup: Lookup) -> bool:
    """Return whether *word* is in the list *text* and nothing before it always ends the list."""
    for each in items(text):
        if each.name == word:
            return True
        if each.name in ("permit", "reject", "defer"):
            return False
        inner = lookup(macro(each.name))
        if inner is not None and any(i.name == word for i in items(inner)):
            return True
    return False


def insert(main_cf: str, value: Value, index: int, word: str) -> str:
    """Return *main_cf* with *word* before item *index* of the list *value*, in its style."""
    found = items(value.text)
    if not found:
        return main_cf[: value.start] + word + main_cf[value.start :]
    comma = "," if "," in value.text else ""
    nearest = found[min(index, len(found) - 1)]
    start, end = value.offsets[nearest.start], value.offsets[nearest.end - 1] + 1
    line = main_cf.rfind("\n", 0, start) + 1
    indent = main_cf[line:start]
    # One restriction a line, if that is how the site writes the list.
    gap = f"\n{indent}" if indent and not indent.strip() else " "
    if index < len(found):
        return f"{main_cf[:start]}{word}{comma}{gap}{main_cf[start:]}"
    return f"{main_cf[:end]}{comma}{gap}{word}{main_cf[end:]}"


def remove(main_cf: str, value: Value, word: str) -> str:
    """Return *main_cf* with *word* and its separator removed from the list *value*."""
    found = items(value.text)
    for index, each in enumerate(found):
        if each.words != (word,):
            continue
        if index + 1 < len(found):
            first, last = each.start, found[index + 1].start
        elif index:
            first, last = found[index - 1].end, each.end
        else:
            first, last = each.start, each.end
        offsets = value.offsets[first:last]
        return main_cf[: offsets[0]] + main_cf[offsets[-1] + 1 :]
    return main_cf
