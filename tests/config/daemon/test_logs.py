from hypothesis import given
from hypothesis import strategies as st

from config.daemon.logs import MAX_VALUE, fields, quoted


def test_harmless_values_stay_bare() -> None:
    line = fields(queue_id="4Xy", client="192.0.2.7", used="200/200", nothing=None)
    assert line == "queue_id=4Xy client=192.0.2.7 used=200/200"


@given(st.text(max_size=20_000))
def test_any_value_is_logged_as_one_short_printable_line(text: str) -> None:
    shown = quoted(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 10 * MAX_VALUE + 20
    assert " " not in shown or (shown[0] == shown[-1] == '"')
