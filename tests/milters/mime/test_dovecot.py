"""What Dovecot shows of a message as a file never counts less, but for named differences."""

import random
from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.milters import oracle, strategies
from tests.milters.bodystructure import as_postfix_has_it, file_sizes
from tests.milters.mime.test_scan import CORPUS, COUNTED

pytestmark = pytest.mark.integration
GENERATED, CHANGED = 1200, 1200
# The line end before the end of a message, or before a delimiter in a header, is the
# file's to Dovecot, as it says which bytes of the message a part has.
LINE_END = 2


def test_dovecot_and_the_scanner_agree_on_the_corpus_but_for_named_cases() -> None:
    messages = [as_postfix_has_it(path.read_bytes()) for path in CORPUS]
    seen = zip(CORPUS, messages, file_sizes(messages), strict=True)
    differ = {path.stem for path, raw, found in seen if oracle.scanned(raw) != found}
    assert differ == set(COUNTED["dovecot"])


@pytest.mark.parametrize("seed", [1])
def test_no_file_that_dovecot_shows_in_generated_messages_counts_less(seed: int) -> None:
    nothing_counts_less(generated(GENERATED, seed))


@pytest.mark.parametrize("seed", [1])
def test_no_file_that_dovecot_shows_in_messages_with_one_byte_changed_counts_less(
    seed: int,
) -> None:
    nothing_counts_less(list(changed(CHANGED, seed)))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_file_that_dovecot_shows_in_new_random_messages_counts_less() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    nothing_counts_less([*generated(25_000, seed), *changed(25_000, seed)])


def nothing_counts_less(messages: list[bytes]) -> None:
    compared = 0
    for raw, found in zip(messages, file_sizes(messages), strict=True):
        if is_named(raw):
            continue
        compared += 1
        counted = oracle.scanned(raw)
        assert sum(counted) + LINE_END * len(found) >= sum(found), (raw, counted, found)
    assert compared > len(messages) * 3 // 4


def is_named(raw: bytes) -> bool:
    """Return whether *raw* has what Dovecot leaves to the mail program, or reads otherwise.

    It does not decode uuencode; ``base64;`` is no encoding it knows (to others it is
    base64); it opens no message/global and no message/news. That a file counts less by
    these is in the allowance (test_no_trick_brings_in_more_than_the_allowance).
    """
    small = raw.lower()
    return any(
        word in small
        for word in (b"uue", b"x-uu", b"base64;", b"printable;", b"message/global", b"message/news")
    )


def generated(count: int, seed: int) -> list[bytes]:
    """Return generated messages, truncated or whole."""
    found: list[bytes] = []

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategies.cut(st.one_of(strategies.trees, strategies.soups)))
    def collect(case: tuple[bytes, tuple[int, ...]]) -> None:
        found.append(as_postfix_has_it(case[0]))

    hypothesis.seed(seed)(collect)()
    return found[:count]


def changed(count: int, seed: int) -> Iterator[bytes]:
    """Yield messages of the corpus with one byte changed somewhere."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    corpus = [raw for path in CORPUS if (raw := path.read_bytes())]
    for _ in range(count):
        copy = bytearray(chance.choice(corpus))
        what = chance.choice([chance.randrange(1, 256), chance.choice(b'\r\n -"();:/=*x')])
        copy[chance.randrange(len(copy))] = what
        yield as_postfix_has_it(bytes(copy))
