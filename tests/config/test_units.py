import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.units import Address, Rate, format_size, format_span, parse_size, parse_span


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("70000B", 70000), ("512K", 524288), ("10M", 10 << 20), ("1T", 1 << 40)],
)
def test_sizes_are_powers_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "bad", ["", "M", "10 M", "10MB", "-1M", "1.5M", "\u0661M", "500", "00", "1"]
)
def test_an_invalid_size_is_rejected(bad: str) -> None:
    with pytest.raises(ValueError, match="a size "):
        parse_size(bad)


@pytest.mark.parametrize(
    ("size", "text"),
    [(10 << 20, "10 MiB"), (12_582_913, "12.0 MiB"), (5 << 30, "5 GiB"), (700, "700 bytes")],
)
def test_sizes_are_shown_in_their_largest_unit(size: int, text: str) -> None:
    assert format_size(size) == text


@given(limit=st.integers(0, 10**9 - 1), window=st.integers(60, 366 * 86400))
def test_a_rate_is_shown_as_it_can_be_read_back(limit: int, window: int) -> None:
    rate = Rate(limit, window)
    if len(str(rate).partition("/")[2]) <= 7:
        assert Rate.parse(str(rate)) == rate


@pytest.mark.parametrize("bad", ["200", "200/h", "/1h", "200/0s", "200/59s", "1/367d", "-1/1h"])
def test_an_invalid_rate_is_rejected(bad: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate.parse(bad)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3600, "hour"), (86400, "day"), (172800, "2 days"), (5400, "90 minutes"), (61, "61 seconds")],
)
def test_a_window_is_shown_in_words(seconds: int, text: str) -> None:
    assert format_span(seconds) == text
    assert parse_span("90m") == 5400


@pytest.mark.parametrize("text", ["inet:127.0.0.1:10040", "inet:[::1]:10040", "unix:/run/x.sock"])
def test_an_address_is_shown_as_it_is_read(text: str) -> None:
    assert str(Address.parse(text)) == text


def test_a_socket_path_too_long_for_the_kernel_is_rejected() -> None:
    with pytest.raises(ValueError, match="107 bytes"):
        Address.parse("unix:/" + "x" * 107)
