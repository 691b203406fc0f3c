import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.names import account_name, canonical, is_local

DOMAINS = {"mail.example.edu", "example.edu"}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("alice", "alice"),
        ("Alice@mail.example.edu", "alice"),
        ("ALICE+shop@EXAMPLE.EDU", "alice"),
        ("alice+x", "alice"),
        (" alice@example.edu. ", "alice"),
        ("alice@example.edu.evil.test", "alice@example.edu.evil.test"),
        ("Bob+list@Gmail.com", "bob+list@gmail.com"),
        ("a@b@example.edu", "a@b"),
        ("+x@example.edu", "+x"),
        ("", ""),
    ],
)
def test_every_way_of_writing_a_name_is_one_name(written: str, name: str) -> None:
    assert canonical(written, DOMAINS) == name


@given(st.text(max_size=80))
def test_a_canonical_name_stays_as_it_is_unless_it_still_has_a_domain(text: str) -> None:
    name = canonical(text, DOMAINS)
    if is_local(name) and "+" not in name:
        assert canonical(name, DOMAINS) == name.strip()


@pytest.mark.parametrize(
    "bad", ["", "-a", "a-", "a b", "../x", "a/b", "ä", "a" * 65, "a@gmail.com"]
)
def test_names_that_a_path_or_a_login_could_trip_over_are_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="cannot be an account name"):
        account_name(bad, DOMAINS)
