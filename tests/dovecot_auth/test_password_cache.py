"""The outcome of recent checks, and how long authd keeps it."""

import pytest

from dovecot_auth import password_cache
from dovecot_auth.password_cache import REPEAT_SECONDS, PasswordCache


def test_an_attempt_is_remembered_for_its_time() -> None:
    cache = PasswordCache(right_seconds=60)
    right, wrong = cache.digest("a", "{X}h", "right"), cache.digest("a", "{X}h", "wrong")
    cache.note(right, right=True, now=100)
    cache.note(wrong, right=False, now=100)
    assert cache.was_right(right, now=159)
    assert not cache.was_right(right, now=160)
    assert cache.was_wrong(wrong, now=99 + REPEAT_SECONDS)
    assert not cache.was_wrong(wrong, now=100 + REPEAT_SECONDS)
    assert not cache.was_right(wrong, now=101)
    assert not cache.was_wrong(right, now=101)


def test_another_name_hash_or_password_is_another_attempt() -> None:
    cache = PasswordCache(right_seconds=60)
    one = cache.digest("a", "{X}h", "p")
    assert one == cache.digest("a", "{X}h", "p")
    others = {("b", "{X}h", "p"), ("a", "{X}i", "p"), ("a", "{X}h", "q"), ("a", "{X}h", "\udcff")}
    assert one not in {cache.digest(*other) for other in others}


def test_every_process_has_its_own_key() -> None:
    assert PasswordCache(right_seconds=1).digest("a", "h", "p") != PasswordCache(
        right_seconds=1
    ).digest("a", "h", "p")


def test_right_passwords_are_not_cached_when_that_is_off() -> None:
    cache = PasswordCache(right_seconds=0)
    cache.note(b"x", right=True, now=1)
    assert not cache.was_right(b"x", now=1)


def test_the_oldest_goes_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password_cache, "MAX_RIGHT", 2)
    cache = PasswordCache(right_seconds=60)
    for digest in (b"1", b"2", b"1", b"3"):
        cache.note(digest, right=True, now=1)
    assert [cache.was_right(each, now=2) for each in (b"1", b"2", b"3")] == [True, False, True]


def test_a_shorter_time_applies_to_passwords_cached_already() -> None:
    cache = PasswordCache(right_seconds=300)
    digest = cache.digest("alice", "{PLAIN}x", "x")
    cache.note(digest, right=True, now=1000)
    cache.remember_right(60)
    assert cache.was_right(digest, now=1059)
    assert not cache.was_right(digest, now=1060)
    cache.remember_right(0)
    assert not cache.was_right(digest, now=1000)
