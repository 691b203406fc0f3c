"""Check 9: no text of a site or a stranger makes a second SMTP line."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.audit import AuditContext
from store.engine import Store
from store.people import accounts, suspension
from tests.conftest import CHANGE, settings_for
from tests.policyd import dropping_proxy
from tests.policyd.daemon import configure, prepared, running


@contextlib.contextmanager
def held_port() -> Iterator[socket.socket]:
    """Listen on a port of 127.0.0.1, for policyd to take over."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as held:
        yield held


HOSTILE = "one\r\n250 two\n\naction=OK \0 three"


def written(folder: Path, url: str) -> Path:
    """Write a configuration; a text of two lines in it is refused when the file is read."""
    config = configure(folder, url, '[limits]\nclient = ["1/1h"]\n')
    config.write_text(config.read_text().replace("[site]", '[site]\nhelp_url = "http://x/?550"'))
    return config


def populated(url: str) -> None:
    """Add bob, a student, and carol, who is suspended for a hostile reason."""
    store, settings = Store(url), settings_for(url)
    for name in ("bob", "carol"):
        accounts.add(store, settings, accounts.NewAccount(name, "student"), change=CHANGE)
    why = AuditContext("tester", HOSTILE)
    suspension.suspend(store, settings, "carol", scope="sending", seconds=None, change=why)
    store.close()


@pytest.mark.integration
def test_no_text_of_a_site_or_a_stranger_adds_an_smtp_line(tmp_path: Path) -> None:
    url = prepared(f"sqlite:///{tmp_path}/gatepost.db")
    populated(url)
    with (
        held_port() as held,
        running(written(tmp_path, url), held=held) as daemon,
        dropping_proxy.running(
            f"inet:127.0.0.1:{held.getsockname()[1]}", "message_size_limit = 0"
        ) as mta,
    ):
        said = [
            answer(mta, "ADDR=192.0.2.8", recipient="bob@mail.example.edu", size=99_000_000),
            answer(mta, "ADDR=192.0.2.8 LOGIN=carol"),
            answer(mta, "ADDR=192.0.2.8"),
            answer(mta, "ADDR=192.0.2.8"),
        ]
        assert daemon.stop() == 0
    assert [(code, text[:6]) for code, text in said] == [
        (552, b"5.3.4 "),
        (550, b"5.7.1 "),
        (354, b"End da"),
        (450, b"4.7.1 "),
    ]
    assert b"http://x/?550" in said[3][1]
    assert b"one??250 two??action=OK ? three" in said[1][1]  # shown, harmless, in the one line
    assert not any(b"\n" in text for _, text in said)


def answer(
    mta: dropping_proxy.Relay, who: str, *, recipient: str = "b@elsewhere.example", size: int = 0
) -> tuple[int, bytes]:
    """Send one mail as *who*; return the first reply that is not a 250."""
    with mta.session() as session:
        assert session.docmd(f"XCLIENT {who}")[0] == 220
        session.ehlo()
        for words in (f"MAIL FROM:<a@b.example> SIZE={size}", f"RCPT TO:<{recipient}>", "DATA"):
            code, text = session.docmd(words)
            if code == 354:
                session.send(b".\r\n")
                session.getreply()
            if code != 250:
                assert session.noop()[0] == 250  # the dialogue is where it should be
                return code, text
    raise AssertionError("no reply to DATA")
