import pytest

from store.logins.password_rules import MAX_CARRIED, check, check_carriable


@pytest.mark.parametrize(
    "good",
    [
        "correct horse battery",
        "ein Satz mit Wörtern",
        "x" * 3 + "abcdefghijklmno",
        "密码" + "abcdefghijklm",
        "ab" * 60 + "cdefgh",
    ],
)
def test_long_passwords_of_any_characters_are_accepted(good: str) -> None:
    check(good, name="alice", local_words={"example"})


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("", "empty"),
        ("short", "at least 15"),
        ("a" * 20, "repeated"),
        ("alicealicealice1", "repeated"),
        ("example-example-example", "repeated"),
        ("123456789012345", "common word"),
        ("PasswordPassword1", "common word"),
        ("qwertyuiopasdfghjkl", "common word"),
        ("iloveyou-alice-12345!", "common word"),
        ("abcdefghijklmno\0", "control"),
        ("tab\tabcdefghijklmno", "control"),
        ("abcdefgh" * 17, "at most 128"),
    ],
)
def test_a_bad_password_is_refused_with_the_reason(bad: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check(bad, name="alice", local_words={"example"})


def test_a_password_too_long_for_dovecot_is_refused() -> None:
    check_carriable("é" * 250, name="alicex")
    with pytest.raises(ValueError, match=str(MAX_CARRIED)):
        check_carriable("é" * 252, name="alicex")
