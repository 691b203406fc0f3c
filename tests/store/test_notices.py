"""Mails to people are handed over once, whoever else sends, and none stops the others."""

import threading

import pytest
from sqlalchemy import insert

from store import notices
from store.engine import Store
from store.errors import Refused
from store.models import Notice
from store.notices import Waiting


@pytest.fixture(autouse=True)
def _three_wait(store: Store) -> None:
    rows = [
        {"recipient": f"{n}@x.example", "subject": "s", "text": "t", "created_at": 1}
        for n in range(3)
    ]
    with store.changing() as session:
        session.execute(insert(Notice), rows)


def test_two_machines_send_each_mail_once(store: Store) -> None:
    seen: list[str] = []
    meet = threading.Barrier(2)

    def deliver(mail: Waiting) -> None:
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


def test_a_mail_under_way_is_nobody_elses(store: Store) -> None:
    others: list[int] = []
    notices.send(store, lambda _: others.append(notices.send(store, lambda _: None)))
    assert sum(others) == 2
    assert notices.count(store) == 0


def test_a_refused_mail_waits_and_stops_no_other(store: Store) -> None:
    seen: list[str] = []

    def deliver(mail: Waiting) -> None:
        if mail.recipient.startswith("0"):
            raise Refused("mailbox of 0 is odd")
        seen.append(mail.recipient)

    with pytest.raises(Refused, match="2 sent, 1 notices wait: mailbox of 0 is odd"):
        notices.send(store, deliver)
    assert seen == ["1@x.example", "2@x.example"]
    assert [each.recipient for each in notices.waiting(store)] == ["0@x.example"]
