"""Check 10: SIGTERM and SIGHUP under load."""

import signal
import threading
import time

import pytest

from tests.policyd.daemon import Client, Daemon


class Asking(threading.Thread):
    """Asks without a pause until the connection is closed."""

    def __init__(self, daemon: Daemon, number: int) -> None:
        super().__init__(daemon=True)
        self._client: Client = daemon.client()
        self._number = number
        self.answered = 0
        self.unanswered_at = 0.0

    def run(self) -> None:
        with self._client as client:
            while True:
                asked = time.monotonic()
                try:
                    answer = client.ask(instance=f"{self._number}.{self.answered}")
                except OSError:
                    answer = ""
                if not answer:
                    self.unanswered_at = asked
                    return
                assert answer == "DUNNO"
                self.answered += 1


@pytest.mark.integration
def test_sigterm_under_load_answers_every_earlier_request(daemon: Daemon) -> None:
    load = [Asking(daemon, number) for number in range(20)]
    for each in load:
        each.start()
    time.sleep(1)
    stopped_at = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - stopped_at < 5
    for each in load:
        each.join(timeout=10)
    assert all(each.answered for each in load)
    assert all(each.unanswered_at > stopped_at for each in load)
    assert "Traceback" not in daemon.log


@pytest.mark.integration
def test_sighup_with_a_broken_file_under_load_only_logs_one_line(
    daemon: Daemon,
) -> None:
    load = [Asking(daemon, number) for number in range(5)]
    for each in load:
        each.start()
    daemon.config.write_text("[limits\n")
    daemon.signal(signal.SIGHUP)
    daemon.wait_for_log("event=reload-failed")
    before = [each.answered for each in load]
    time.sleep(0.5)
    assert all(each.answered > count for each, count in zip(load, before, strict=True))
    assert daemon.log.count("ERROR") == 1
    assert daemon.stop() == 0
