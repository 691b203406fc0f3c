import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import SiteSettings
from store.people.names import account_name, canonical, intended_name, is_local, stems, whole

DOMAINS = ("mail.example.edu", "example.edu")
SITE = SiteSettings(domains=DOMAINS)
HYPHENS = SiteSettings(domains=DOMAINS, recipient_delimiter="-+")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("alice", "alice"),
        (" alice", "alice"),
        ("alice ", "alice"),
        ("Alice@mail.example.edu", "alice"),
        ("ALICE+shop@EXAMPLE.EDU", "alice"),
        ("alice+x", "alice"),
        ("alice+x+y", "alice"),
        ("alice+", "alice"),
        (" alice@example.edu. ", "alice"),
        ("O'Brien+x", "o'brien"),
        ("alice@example.edu.evil.test", "alice@example.edu.evil.test"),
        ("Bob+list@Gmail.com", "bob+list@gmail.com"),
        ("a@b@example.edu", "a@b"),
        ("+x@example.edu", "+x"),
        ("", ""),
    ],
)
def test_every_way_of_writing_a_name_is_one_name(written: str, name: str) -> None:
    assert canonical(written, SITE) == name
    assert intended_name(written, SITE) == name


@pytest.mark.parametrize(
    ("written", "may_mean"),
    [
        ("mary-ann", ["mary-ann", "mary"]),
        ("Mary-Ann+x@example.edu", ["mary-ann+x", "mary-ann", "mary"]),
        ("mary+x-y", ["mary+x-y", "mary"]),
        ("-mary", ["-mary"]),
        ("mary--x", ["mary--x", "mary"]),
        ("mary-ann@gmail.com", ["mary-ann@gmail.com"]),
    ],
)
def test_a_name_comes_before_its_stems_and_a_long_stem_before_a_short_one(
    written: str, may_mean: list[str]
) -> None:
    name = whole(written, HYPHENS)
    assert [name, *stems(name, HYPHENS)] == may_mean


@pytest.mark.parametrize(
    ("written", "name"), [("mary-ann", "mary-ann"), ("mary-ann+x", "mary-ann"), ("+x", "+x")]
)
def test_what_can_be_a_name_is_never_another_persons_with_an_extension(
    written: str, name: str
) -> None:
    assert intended_name(written, HYPHENS) == name


def test_without_a_delimiter_nothing_is_an_extension() -> None:
    site = SiteSettings(domains=DOMAINS, recipient_delimiter="")
    assert canonical("alice+x", site) == "alice+x"


@given(st.text(max_size=80), st.sampled_from([SITE, HYPHENS]))
def test_a_canonical_name_stays_as_it_is_unless_it_still_has_a_domain(
    text: str, site: SiteSettings
) -> None:
    name = canonical(text, site)
    if is_local(name):
        assert canonical(name, site) == name.strip()


@given(st.text("a'-+", max_size=300))
def test_a_text_of_delimiters_has_few_stems(text: str) -> None:
    assert sum(1 for _ in stems(text, HYPHENS)) <= 64


@pytest.mark.parametrize(
    "bad", ["", "-a", "a-", "'a", "a'", "a b", "../x", "a/b", "a`b", 'a"b', "ä", "a" * 65, "a@b.c"]
)
def test_names_that_a_path_or_a_login_could_trip_over_are_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="cannot be an account name"):
        account_name(bad, SITE)


@pytest.mark.parametrize("name", ["o'brien", "d'angelo-o'hara", "mary-ann", "a" * 64])
def test_names_that_people_have_are_taken(name: str) -> None:
    assert account_name(name, HYPHENS) == name
