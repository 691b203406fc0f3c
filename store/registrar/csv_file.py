"""The registrar's CSV: RFC 4180, and what spreadsheets make of it. Pure.

`config.text` handles a byte order mark and UTF-16. Handled here: semicolons and tabs, Excel's
``sep=;`` line, empty columns and rows that only pad, titles in capitals. A line that cannot be
read is refused and stops no other, even with an unclosed quotation mark; only a header that
cannot be understood stops the file.
"""

import csv
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

from config import text as plain
from store.errors import Refused
from store.redaction import is_name_like
from store.registrar.columns import EXTRA, load
from store.registrar.lines import HeaderError, Line, Refusal, refusal, with_checked_hash

COLUMNS = (
    *("name", "role", "condition", "second_mailbox", "aliases", "identity", "password_hash"),
    *EXTRA,
)
DELIMITERS = (",", ";", "\t")
_SEP = re.compile(r'"?sep=([^\w\s"]|\t)"?[,;\t]*', re.IGNORECASE)
_LINE_END = re.compile(r"\r\n?|\n")
MAX_UNKNOWN = 5  # unknown columns that an error lists
MAX_TITLE = 40  # no column has a longer title


def csv_lines(text: Iterable[str]) -> Iterator[Line | Refusal]:
    """Parse CSV whose first line names its columns, some of `COLUMNS` in any order."""
    lines = list(text)
    columns, delimiter, start = _header(lines)
    for number, row, below in _records(lines, delimiter, start):
        if isinstance(row, str):
            yield refusal(number, "", row)
        elif any(cell.strip() for cell in row):
            name = _cell(columns, row, "name")
            try:
                for each in range(number - 1, below):
                    plain.check(lines[each], number=each + 1)
                yield _of_row(number, columns, row)
            except (Refused, ValueError) as error:
                yield refusal(number, name, str(error))


def _header(lines: Sequence[str]) -> tuple[list[str], str, int]:
    """Return the columns, the delimiter, and the index of the first row."""
    named = _SEP.fullmatch(lines[0].strip("\r\n")) if lines else None
    at = 1 if named else 0
    line = lines[at] if at < len(lines) else ""
    try:
        plain.check(line, number=at + 1)
    except plain.NotText as error:
        raise HeaderError(str(error)) from None
    delimiters = (named[1],) if named else DELIMITERS
    found = [(_titles(line, delimiter), delimiter) for delimiter in delimiters]
    columns, delimiter = max(found, key=lambda each: len(set(each[0]) & set(COLUMNS)))
    if trouble := _trouble(columns):
        raise HeaderError(
            f"line {at + 1} must name the columns, such as name,role,condition: {trouble}."
            f" The columns are: {', '.join(COLUMNS)}"
        )
    return columns, delimiter, at + 1


def _titles(line: str, delimiter: str) -> list[str]:
    """Return the columns that *line* names, without untitled ones at its end."""
    try:
        row = next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []
    titles = [re.sub(r"[\s-]+", "_", title.strip().lower()) for title in row]
    while titles and not titles[-1]:
        titles.pop()
    return titles


def _trouble(columns: Sequence[str]) -> str:
    if "name" not in columns:
        # The line is not shown: it may not be a header, but a person with a password.
        return 'there is no column "name" (is this CSV? see --format)'
    twice = {column for column in columns if columns.count(column) > 1}
    if twice:
        return f"twice: {', '.join(map(_title, sorted(twice)))}"
    unknown = [column for column in columns if column not in COLUMNS]
    return f"unknown: {', '.join(map(_title, unknown[:MAX_UNKNOWN]))}" if unknown else ""


def _title(column: str) -> str:
    if not column:
        return "a column without a title"
    if len(column) > MAX_TITLE or not is_name_like(column):
        return "a column whose title cannot be one"
    near = difflib.get_close_matches(column, COLUMNS, n=1)
    return repr(column) + (f" (did you mean {near[0]}?)" if near and near[0] != column else "")


class _Source:
    """Lines for the reader, at an index that can be set back."""

    def __init__(self, lines: Sequence[str], at: int) -> None:
        self.lines = lines
        self.at = at

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.at >= len(self.lines):
            raise StopIteration
        self.at += 1
        return self.lines[self.at - 1]


def _records(
    lines: Sequence[str], delimiter: str, start: int
) -> Iterator[tuple[int, list[str] | str, int]]:
    """Yield for each record its first line, its row or why it has none, and its last line."""
    source = _Source(lines, start)
    rows = csv.reader(source, delimiter=delimiter, strict=True)
    while True:
        first = source.at
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            # The reader searched the lines below for the closing mark: go back to them.
            bad, reason = _fault(lines[first : source.at], delimiter)
            source.at = first + bad + 1
            yield source.at, reason, source.at
        else:
            yield first + 1, row, source.at


def _fault(lines: Sequence[str], delimiter: str) -> tuple[int, str]:
    """Return the index of the line in which the unreadable field begins, and the reason."""
    text, at = "".join(lines), 0
    rest = f"[^{re.escape(delimiter)}\r\n]*"
    field = re.compile(rf'(?:"[^"]*(?:""[^"]*)*"|(?!"){rest})(?:{re.escape(delimiter)}|\r\n?|\n)')
    while found := field.match(text, at):
        at = found.end()
    number = min(len(_LINE_END.findall(text[:at])), len(lines) - 1)
    left = text[at:].strip()
    if len(left) > csv.field_size_limit() and '"' not in left:
        return number, f"a value is longer than {csv.field_size_limit()} characters"
    if _LINE_END.search(left) or left.count('"') % 2:
        return number, 'a quotation mark (") opens a value in this line, and none closes it'
    after = f"{_delimiter_name(delimiter)} or the end of the line"
    return number, f'a closing quotation mark (") must be followed by {after}'


def _delimiter_name(delimiter: str) -> str:
    return {",": "a comma", ";": "a semicolon", "\t": "a tab"}.get(delimiter, repr(delimiter))


def _cell(columns: Sequence[str], row: Sequence[str], column: str) -> str:
    at = columns.index(column)
    return row[at].strip() if at < len(row) else ""


def _of_row(number: int, columns: Sequence[str], row: list[str]) -> Line:
    """Return *row* as a line; raise ``ValueError`` or `Refused`."""
    while len(row) > len(columns) and not row[-1].strip():
        row.pop()
    if len(row) != len(columns):
        raise ValueError(f"{len(row)} values, but the first line names {len(columns)} columns")
    cells = {column: cell.strip() or None for column, cell in zip(columns, row, strict=True)}
    if cells.get("identity") and cells.get("password_hash"):
        raise ValueError("identity and password_hash exclude each other")
    return with_checked_hash(
        Line(
            number=number,
            name=cells["name"] or "",
            role=cells.get("role"),
            condition=cells.get("condition"),
            second_mailbox=cells.get("second_mailbox"),
            aliases=tuple((cells.get("aliases") or "").split()),
            identity=cells.get("identity"),
            password=cells.get("password_hash"),
            extras=load(cells),
        )
    )
