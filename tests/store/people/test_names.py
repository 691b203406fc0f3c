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
def test_all_spellings_of_a_name_are_one_name(written: str, name: str) -> None:
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
def test_a_name_precedes_its_stems_and_long_stems_precede_short_ones(
    written: str, may_mean: list[str]
) -> None:
    name = whole(written, HYPHENS)
    assert [name, *stems(name, HYPHENS)] == may_mean


@pytest.mark.parametrize(
    ("written", "name"), [("mary-ann", "mary-ann"), ("mary-ann+x", "mary-ann"), ("+x", "+x")]
)
def test_a_valid_name_is_never_read_as_another_with_an_extension(written: str, name: str) -> None:
    assert intended_name(written, HYPHENS) == name


def test_without_a_delimiter_nothing_is_an_extension() -> None:
    site = SiteSettings(domains=DOMAINS, recipient_delimiter="")
    assert canonical("alice+x", site) == "alice+x"


@given(st.text(max_size=80), st.sampled_from([SITE, HYPHENS]))
def test_a_canonical_name_without_a_domain_stays_unchanged(text: str, site: SiteSettings) -> None:
    name = canonical(text, site)
    if is_local(name):
        assert canonical(name, site) == name.strip()


@given(st.text("a'-+", max_size=300))
def test_a_name_full_of_delimiters_has_few_stems(text: str) -> None:
    assert sum(1 for _ in stems(text, HYPHENS)) <= 64


@pytest.mark.parametrize(
    "bad", ["", "-a", "a-", "'a", "a'", "a b", "../x", "a/b", "a`b", 'a"b', "ä", "a" * 65, "a@b.c"]
)
def test_names_unsafe_in_paths_or_logins_are_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="cannot be an account name"):
        account_name(bad, SITE)


@pytest.mark.parametrize("name", ["o'brien", "d'angelo-o'hara", "mary-ann", "a" * 64])
def test_real_names_are_accepted(name: str) -> None:
    assert account_name(name, HYPHENS) == name
