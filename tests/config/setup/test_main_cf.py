"""main.cf is edited in place: everything else stays, byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.setup import main_cf

TEXT = """\
# a comment
first = 1
list =
    one,
    # not in the list
    two

  , three
first = 2
last = x
"""


@pytest.mark.parametrize(
    ("name", "value"),
    [("first", "2"), ("last", "x"), ("absent", None), ("lis", None)],
)
def test_the_last_value_of_a_parameter_counts(name: str, value: str | None) -> None:
    found = main_cf.find(TEXT, name)
    assert (found and found.text) == value


def test_a_value_continues_across_comments_and_empty_lines() -> None:
    found = main_cf.find(TEXT, "list")
    assert found
    assert found.text.replace(",", " ").split() == ["one", "two", "three"]
    assert [TEXT[each] for each in found.offsets] == list(found.text)


def test_a_value_is_replaced_and_nothing_else() -> None:
    assert main_cf.replace(TEXT, "last", "y") == TEXT.replace("last = x", "last = y")
    assert main_cf.replace("empty =\nb = 1\n", "empty", "y") == "empty =y\nb = 1\n"


@given(st.text("ab#= \n\t$", max_size=80), st.sampled_from(["", "x = 1", "y = 2\nz = 3"]))
def test_removing_the_block_restores_the_text(text: str, lines: str) -> None:
    whole = text if not text or text.endswith("\n") else text + "\n"
    once = main_cf.with_block(whole, "test", "a = 1")
    assert main_cf.without_block(once, "test") == whole
    again = main_cf.with_block(once, "test", lines)
    assert main_cf.without_block(again, "test") == whole
    assert (main_cf.block(again, "test") or "").strip() == lines
