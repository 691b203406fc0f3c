"""An account is named once, whatever spellings of its address were used; the sizes logged."""

from contextlib import closing
from email import message_from_bytes
from pathlib import Path

import pytest

from milters import message_log
from milters.role_limits import RoleLimits
from milters.verdict import Accept, Refuse
from store.engine import Store
from store.memory.directory import Directory
from tests.conftest import settings_for
from tests.milters.test_message import KIB, SPAM, fill, message

SPELLINGS = (
    "<small@mail.example.edu>",
    "<SMALL@mail.example.edu>",
    "<small+lists@mail.example.edu>",
    '<"small"@mail.example.edu>',
)


def test_the_notice_names_an_account_once_and_leaves_out_all_spellings() -> None:
    told: list[bytes] = []
    made = message("big", user="writer", notify=lambda notice, _: told.append(notice))
    for each in SPELLINGS:
        made.recipient(each)
    verdict = fill(made, 12 * KIB).verdict("4ABC")
    assert isinstance(verdict, Accept)
    assert set(SPELLINGS) <= set(verdict.dropped)
    [raw] = told
    _, words, _, _, *recipients, _ = message_from_bytes(raw).walk()
    assert str(words.get_payload()).count("(limit 10 KiB)") == 1
    assert [each["Final-Recipient"] for each in recipients] == ["rfc822; small@mail.example.edu"]


def test_the_refusal_names_an_account_once() -> None:
    made = message(user="")
    for each in SPELLINGS:
        made.recipient(each)
    verdict = fill(made, 12 * KIB).verdict()
    assert isinstance(verdict, Refuse)
    assert verdict.text.count("10 KiB for") == 1
    assert "other" not in verdict.text


def test_all_spellings_of_an_address_have_one_owner(database: Path) -> None:
    settings = settings_for(f"sqlite:///{database}")
    spellings = ("staff@mail.example.edu", "STAFF@mail.example.edu", "staff+x@mail.example.edu")
    with closing(Store(settings.store.url)) as store:
        directory = Directory(store, settings)
        limits = RoleLimits(directory, settings)
        for _ in range(2):  # before the store was read, and after
            assert len({limits.owner(each) for each in spellings}) == 1
            assert limits.owner("student@mail.example.edu") != limits.owner(
                "staff@mail.example.edu"
            )
            directory.refresh()


@pytest.mark.parametrize(
    ("declared", "size"), [(None, "2073+"), (11 << 20, str(11 << 20)), (2072, "2073+")]
)
def test_the_log_says_how_large_a_mail_is_that_was_not_read_to_its_end(
    declared: int | None, size: str
) -> None:
    made = message("foreign", declared=declared, scan=lambda _: SPAM, spam={"scan": "2K"})
    made.header("Subject", b"hello")
    assert not made.body(b"x" * 2055)
    assert f" size={size} verdict=accept" in message_log.line(made, Accept(), "4ABC")


def test_the_log_says_the_whole_size_and_what_counted() -> None:
    made = fill(message("big"), 12 * KIB)
    head = len(b"Content-Type: application/pdf\r\n\r\n")
    line = message_log.line(made, made.verdict(), "4ABC")
    assert f"size={head + 12 * KIB} counted={12 * KIB} " in line
