"""What authd remembers of checks, and for how long."""

import pytest

from dovecot_auth import password_cache as memory
from dovecot_auth.password_cache import REPEAT_SECONDS, PasswordCache


def test_an_attempt_is_remembered_until_its_time() -> None:
    kept = PasswordCache(right_seconds=60)
    right, wrong = kept.digest("a", "{X}h", "right"), kept.digest("a", "{X}h", "wrong")
    kept.note(right, right=True, now=100)
    kept.note(wrong, right=False, now=100)
    assert kept.was_right(right, now=159)
    assert not kept.was_right(right, now=160)
    assert kept.was_wrong(wrong, now=99 + REPEAT_SECONDS)
    assert not kept.was_wrong(wrong, now=100 + REPEAT_SECONDS)
    assert not kept.was_right(wrong, now=101)
    assert not kept.was_wrong(right, now=101)


def test_another_name_hash_or_password_is_another_attempt() -> None:
    kept = PasswordCache(right_seconds=60)
    one = kept.digest("a", "{X}h", "p")
    assert one == kept.digest("a", "{X}h", "p")
    others = {("b", "{X}h", "p"), ("a", "{X}i", "p"), ("a", "{X}h", "q"), ("a", "{X}h", "\udcff")}
    assert one not in {kept.digest(*other) for other in others}


def test_the_key_is_another_in_every_process() -> None:
    assert PasswordCache(right_seconds=1).digest("a", "h", "p") != PasswordCache(
        right_seconds=1
    ).digest("a", "h", "p")


def test_right_passwords_are_not_remembered_when_switched_off() -> None:
    kept = PasswordCache(right_seconds=0)
    kept.note(b"x", right=True, now=1)
    assert not kept.was_right(b"x", now=1)


def test_the_oldest_goes_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_RIGHT", 2)
    kept = PasswordCache(right_seconds=60)
    for digest in (b"1", b"2", b"1", b"3"):
        kept.note(digest, right=True, now=1)
    assert [kept.was_right(each, now=2) for each in (b"1", b"2", b"3")] == [True, False, True]


def test_a_shorter_time_holds_for_what_is_remembered_already() -> None:
    memory = PasswordCache(right_seconds=300)
    digest = memory.digest("alice", "{PLAIN}x", "x")
    memory.note(digest, right=True, now=1000)
    memory.remember_right(60)
    assert memory.was_right(digest, now=1059)
    assert not memory.was_right(digest, now=1060)
    memory.remember_right(0)
    assert not memory.was_right(digest, now=1000)
