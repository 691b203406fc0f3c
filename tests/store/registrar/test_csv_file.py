"""CSV as people and spreadsheets write it. The files are in tests/cases/files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import text
from store.registrar.csv_file import csv_lines
from store.registrar.lines import HeaderError, Line, Refusal

FILES = Path(__file__).parents[2] / "cases/files"


def read(raw: bytes) -> list[Line | Refusal]:
    return list(csv_lines(text.lines(text.decode(raw))))


def summary(found: list[Line | Refusal]) -> list[tuple[object, ...]]:
    return [
        (each.number, each.name, each.role) if isinstance(each, Line) else (each.number, "refused")
        for each in found
    ]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("csv-bom-quoted.csv", [(2, "bq1", "student")]),
        ("csv-semicolon.csv", [(2, "semi1", "student")]),
        ("csv-sep-line.csv", [(3, "sep1", "student")]),
        ("csv-trailing-commas.csv", [(2, "tc1", "student")]),
        ("csv-latin1.csv", [(2, "refused")]),
        ("csv-unterminated.csv", [(2, "refused"), (3, "un2", "student")]),
        ("csv-mailbox-plain-number.csv", [(2, "refused"), (3, "refused")]),
    ],
)
def test_real_world_files_are_read_or_refused_at_the_right_line(
    file: str, expected: list[tuple[object, ...]]
) -> None:
    assert summary(read((FILES / file).read_bytes())) == expected


TABLE = [["Name", "Role", "Second Mailbox"], ["s1", "Student", "x@example.org"]]
WIDE = [[*row, "", ""] for row in TABLE]


@pytest.mark.parametrize("table", [TABLE, WIDE, [*WIDE, ["", "", "", "", ""]]])
@pytest.mark.parametrize("between", [",", ";", "\t"])
@pytest.mark.parametrize("first", ["", "sep={}\r\n"])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_is_read_in_every_dialect_of_spreadsheets(
    table: list[list[str]], between: str, first: str, quote: str, encoding: str
) -> None:
    rows = (between.join(f"{quote}{cell}{quote}" for cell in row) + "\r\n" for row in table)
    raw = (first.format(between) + "".join(rows)).encode(encoding)
    (line,) = read(raw)
    assert isinstance(line, Line)
    assert (line.name, line.second_mailbox) == ("s1", "x@example.org")


def test_a_quoted_cell_may_span_lines() -> None:
    (line, after) = read(b'name,aliases\na,"x\ny"\nb,\n')
    assert isinstance(line, Line)
    assert (line.number, line.aliases) == (2, ("x", "y"))
    assert after == Line(4, "b")


@pytest.mark.parametrize(
    ("rows", "number", "reason"),
    [
        ('"a,student\nb,student\n', 2, "none closes it"),
        ('"a,student\n"b",student\n', 2, "none closes it"),
        ('a,student\nb,"student\nc,student\n', 3, "none closes it"),
        ('a,"x\ny","student\nc,student\n', 3, "none closes it"),
        ('a"b",x\n"c"d,x\n', 3, "a closing quotation mark"),
    ],
)
def test_an_unclosed_quote_is_named_where_it_opens_and_stops_no_other_line(
    rows: str, number: int, reason: str
) -> None:
    found = read(f"name,role\n{rows}z,student\n".encode())
    refused = [each for each in found if isinstance(each, Refusal)]
    assert (refused[0].number, reason in refused[0].reason) == (number, True)
    assert summary(found)[-1][1:] == ("z", "student")


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("name,rolle", "did you mean role"),
        ("name,role,role", "twice: 'role'"),
        ("name,,role", "a column without a title"),
        ("nmae,role", 'no column "name"'),
        ("name,\x1b]0;owned\x07,ro\x1b[31mle", "unknown"),
    ],
)
def test_a_refused_header_prints_safely_on_a_terminal(header: str, says: str) -> None:
    with pytest.raises(HeaderError) as error:
        read(f"{header}\na,b,c\n".encode())
    assert says in str(error.value)
    assert str(error.value).isprintable()


def test_a_header_in_another_encoding_is_refused_with_the_cure() -> None:
    with pytest.raises(HeaderError, match=r"line 1, byte 6 .*iconv"):
        read("name,身分\n".encode("big5"))


@pytest.mark.parametrize(
    ("text_", "at"),
    [("31.01.2027", 1801353600), ("2027-01-31", 1801353600), ("31.1.2027 08:00", 1801382400)],
)
def test_a_date_may_be_day_first_with_dots(text_: str, at: int) -> None:
    (line,) = read(f"name,mailbox,mailbox_until\na,1G,{text_}\n".encode())
    assert isinstance(line, Line)
    assert line.extras.overrides["mailbox_until"] == at


@pytest.mark.parametrize("date", ["31/01/2027", "01/02/2027", "31.01.27", "32.01.2027", "soon"])
def test_an_ambiguous_or_invalid_date_is_refused_with_the_right_form(date: str) -> None:
    (refused,) = read(f"name,mailbox,mailbox_until\na,1G,{date}\n".encode())
    assert isinstance(refused, Refusal)
    assert "31.01.2027" in refused.reason


@pytest.mark.parametrize("column", ["mailbox", "attachments"])
@pytest.mark.parametrize("size", ["1", "500", "0500"])
def test_a_size_without_a_unit_is_refused_in_every_column(column: str, size: str) -> None:
    (refused,) = read(f"name,{column}\na,{size}\n".encode())
    assert isinstance(refused, Refusal)
    assert f"{size}M" in refused.reason


@given(st.text(alphabet='ab",;\t\r\n\x00\u2028é{}$', max_size=80))
def test_any_text_yields_each_line_at_most_once(rows: str) -> None:
    found = list(csv_lines(text.lines("name,role\n" + rows)))
    numbers = [each.number for each in found]
    assert numbers == sorted(set(numbers))
