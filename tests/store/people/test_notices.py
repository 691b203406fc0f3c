"""Notices are delivered once, even with two senders, and a refused one stops no other."""

import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from itertools import pairwise

import pytest
from sqlalchemy import insert

from store.engine import Store
from store.errors import Refused
from store.models import NoticeRow
from store.people import notices
from store.people.notices import WaitingNotice


@pytest.fixture(autouse=True)
def _three_wait(store: Store) -> None:
    rows = [
        {"recipient": f"{n}@x.example", "subject": "s", "text": "t", "created_at": 1}
        for n in range(3)
    ]
    with store.changing() as session:
        session.execute(insert(NoticeRow), rows)


def test_two_machines_send_each_notice_once(store: Store) -> None:
    seen: list[str] = []
    meet = threading.Barrier(2)

    def deliver(mail: WaitingNotice) -> None:
        seen.append(mail.recipient)

    def machine() -> None:
        meet.wait(10)
        notices.send(store, deliver)

    both = [threading.Thread(target=machine) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert sorted(seen) == ["0@x.example", "1@x.example", "2@x.example"]


def test_a_notice_being_sent_is_not_sent_by_another_process(store: Store) -> None:
    others: list[int] = []
    notices.send(store, lambda _: others.append(notices.send(store, lambda _: None)))
    assert sum(others) == 2
    assert notices.count(store) == 0


def test_a_refused_notice_waits_and_stops_no_other(store: Store) -> None:
    seen: list[str] = []

    def deliver(mail: WaitingNotice) -> None:
        if mail.recipient.startswith("0"):
            raise Refused("mailbox of 0 is odd")
        seen.append(mail.recipient)

    with pytest.raises(Refused, match="2 sent, 1 notices wait: mailbox of 0 is odd"):
        notices.send(store, deliver)
    assert seen == ["1@x.example", "2@x.example"]
    assert [each.recipient for each in notices.list_waiting(store)] == ["0@x.example"]


KILLED_WHILE_SENDING = """
import os, signal, sys
from store.engine import Store
from store.people import notices
def deliver(mail):
    if sys.argv[2] == "after":
        print(mail.id, mail.recipient, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
notices.send(Store(sys.argv[1]), deliver)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_between_claiming_and_sending_loses_no_notice(
    store: Store, url: str, when: str
) -> None:
    command = [sys.executable, "-c", KILLED_WHILE_SENDING, url, when]
    killed = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    seen: list[str] = []

    def deliver(mail: WaitingNotice) -> None:
        seen.append(f"{mail.id} {mail.recipient}")

    assert notices.send(store, deliver) == 2  # the first is claimed for two minutes
    later = int(time.time()) + notices.CLAIM_SECONDS + 1
    assert notices.send(store, deliver, now=later) == 1
    assert notices.count(store) == 0
    assert sorted(each.split()[1] for each in seen) == [f"{n}@x.example" for n in range(3)]
    # A second copy has the id of the first, and so the same Message-ID.
    assert when == "before" or killed.stdout.strip() in seen


def test_after_two_days_of_refusals_the_postmaster_is_notified(
    store: Store,
) -> None:
    tried: list[int] = []
    texts: list[str] = []
    now = start = 1_800_000_000

    def deliver(mail: WaitingNotice) -> None:
        if mail.recipient == "postmaster@x.example":
            texts.append(mail.text)
        elif mail.recipient.startswith("0"):
            tried.append(now)
            raise Refused("mailbox of 0 is odd")

    while now < start + 3 * 86400:
        with suppress(Refused):
            notices.send(store, deliver, postmaster="postmaster@x.example", now=now)
        now += 60 if now < start + 5000 else 600  # cron
    assert len(tried) == notices.MAX_TRIES
    assert [later - first for first, later in pairwise(tried)][:4] == list(
        notices.PAUSE_SECONDS[:4]
    )
    assert 86400 < tried[-1] - start <= 2 * 86400
    assert texts == ["To 0@x.example, after 16 tries: s\nmailbox of 0 is odd\n"]
    assert notices.count(store) == 0


def test_a_notice_that_kills_its_sender_is_not_retried_for_ever(store: Store) -> None:
    tried = 0
    now = 1_800_000_000

    class Killed(BaseException):
        """Nothing runs after it."""

    def deliver(mail: WaitingNotice) -> None:
        nonlocal tried
        if mail.recipient.startswith("0"):
            tried += 1
            raise Killed

    for _ in range(100):
        with suppress(Killed):
            notices.send(store, deliver, now=now)
        now += 14400
    assert tried == notices.MAX_TRIES


def test_a_repeated_dedupe_key_queues_one_notice(store: Store) -> None:
    mail = notices.NewNotice(
        kind="graduated", dedupe="x", recipient="a@b.example", subject="s", text="t", created_at=1
    )
    for _ in range(2):
        with store.changing() as session:
            notices.add(session, mail)
    assert notices.count(store) == 4
