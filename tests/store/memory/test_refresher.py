"""An operator learns of a memory copy that is getting old."""

import logging
from pathlib import Path

import pytest

from store import schema
from store.engine import Store
from store.memory.directory import Directory
from store.memory.refresher import STALE_SECONDS, Refresher
from tests.conftest import settings_for


def test_an_outage_and_its_end_are_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "later"
    url = f"sqlite:///{folder}/gatepost.db"
    store = Store(url)
    refresher = Refresher(Directory(store, settings_for(url)))
    for now in (0.0, STALE_SECONDS - 1):
        refresher.refresh(now)
    assert not caplog.messages
    for now in (STALE_SECONDS, STALE_SECONDS + 1):
        refresher.refresh(now)
    folder.mkdir()
    schema.upgrade(store)
    for now in (STALE_SECONDS + 2, STALE_SECONDS + 3):
        refresher.refresh(now)
    store.close()
    said = [message.split()[0] for message in caplog.messages if "refresh" in message]
    assert said == ["event=refresh-failing", "event=refresh-back"]
    assert {record.levelno for record in caplog.records} <= {logging.WARNING, logging.INFO}
