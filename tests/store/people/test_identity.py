from pathlib import Path

import pytest

from store.people.identity import KeyFileError, keyed_hash, load_key, make_key, matches, normalise

KEY = bytes(range(32))


FULL_WIDTH = "A" + "".join(chr(0xFF10 + n) for n in range(1, 10))  # as an input method types it


@pytest.mark.parametrize("written", ["a123456789", "A123-456-789", " a123 456 789 ", FULL_WIDTH])
def test_all_spellings_of_an_identity_number_are_one(written: str) -> None:
    assert normalise(written) == "A123456789"
    assert matches(written, keyed_hash("A123456789", KEY), KEY)


@pytest.mark.parametrize("bad", ["", " - ", "A" * 65, "ä", "1;2"])
def test_an_invalid_identity_number_is_rejected(bad: str) -> None:
    with pytest.raises(ValueError, match="identity number"):
        normalise(bad)


def test_no_number_matches_an_account_without_an_identity() -> None:
    assert not matches("A1", None, KEY)


def test_the_key_is_created_once_and_readable_by_owner_and_group_only(tmp_path: Path) -> None:
    path = str(tmp_path / "secret.key")
    assert make_key(path)
    key = load_key(path)
    assert not make_key(path)
    assert load_key(path) == key
    assert Path(path).stat().st_mode & 0o777 & ~0o640 == 0


def test_an_unusable_key_file_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="db upgrade"):
        load_key(str(tmp_path / "none"))
    (tmp_path / "short").write_text("00ff")
    with pytest.raises(KeyFileError, match="shorter"):
        load_key(str(tmp_path / "short"))
    (tmp_path / "text").write_text("not hexadecimal")
    with pytest.raises(KeyFileError, match="cannot be used"):
        load_key(str(tmp_path / "text"))
    with pytest.raises(KeyFileError, match="cannot be created"):
        make_key("/nonexistent/secret.key")
